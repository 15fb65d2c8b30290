//! Sort words: 16 bytes that order most keys without looking at them again.
//!
//! partition (16 bits) | first 9 bytes of the key | min(length, 10) (8 bits) | id (32 bits). Ids
//! ascend with the order of emission, so an unstable sort of the words is a stable one of records;
//! only keys of 10 bytes or more have to be compared in full.

pub const AHEAD: usize = 24; // records: a miss of the cache takes as long as about so many
const INLINE_BYTES: usize = 9;
pub const PARTITIONS_MAX: usize = 1 << 16;

/// The word of a key.
#[inline(always)]
pub fn sort_word(partition: u32, key: &[u8], id: u32) -> u128 {
    let head = match key.first_chunk::<8>() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(head)
        }
    };
    let ninth = key.get(8).copied().unwrap_or(0);
    let length = key.len().min(INLINE_BYTES + 1);
    u128::from(partition) << 112
        | u128::from(head) << 48
        | u128::from(ninth) << 40
        | (length as u128) << 32
        | u128::from(id)
}

/// The word of a key of `length` bytes in a block, as `table` has it.
#[inline(always)]
pub fn short_sort_word(partition: u32, block: u128, length: usize, id: u32) -> u128 {
    let head = (block as u64).swap_bytes();
    let ninth = (block >> 64) as u8;
    u128::from(partition) << 112
        | u128::from(head) << 48
        | u128::from(ninth) << 40
        | (length.min(INLINE_BYTES + 1) as u128) << 32
        | u128::from(id)
}

/// The partition in a word.
#[inline]
pub fn partition_in(word: u128) -> usize {
    (word >> 112) as usize
}

/// Whether a word holds the whole key.
#[inline]
pub fn is_whole(word: u128) -> bool {
    (word >> 32) as u8 as usize <= INLINE_BYTES
}

/// Order words by partition, key and id; `key_of` gives the key of an id, and `ahead` is told the
/// ids of which it may be asked soon.
pub fn sort_words<'a>(words: &mut [u128], key_of: impl Fn(u32) -> &'a [u8], ahead: impl Fn(u32)) {
    words.sort_unstable();
    let (mut start, mut told) = (0, 0);
    while start < words.len() {
        let head = words[start] >> 32;
        while told < words.len().min(start + AHEAD) {
            if !is_whole(words[told]) {
                ahead(words[told] as u32);
            }
            told += 1;
        }
        let mut end = start + 1;
        if !is_whole(words[start]) {
            while end < words.len() && words[end] >> 32 == head {
                end += 1;
            }
            if end - start > 1 {
                // By id where keys are equal, so that it is stable: a stable sort takes memory.
                words[start..end].sort_unstable_by(|&a, &b| {
                    key_of(a as u32).cmp(key_of(b as u32)).then(a.cmp(&b))
                });
            }
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_has_the_same_word_in_a_block() {
        for length in 1..=15 {
            let key: Vec<u8> = (1..=length as u8).collect();
            let block = crate::table::short_block(key[0], &key[1..]);
            let word = short_sort_word(7, block, length, 9);
            assert_eq!(word, sort_word(7, &key, 9));
        }
    }

    #[test]
    fn words_sort_as_their_keys_do_and_equal_keys_by_id() {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for length in 0..14 {
            for last in [0u8, 1, 0x40, 0xFF] {
                let mut key = vec![0x40; length];
                key.extend([0, last][..=usize::from(length % 2 == 0)].iter());
                keys.push(key.clone());
                keys.push(key);
            }
        }
        let mut words: Vec<u128> = (0..keys.len() as u32)
            .rev()
            .map(|id| sort_word(id % 3, &keys[id as usize], id))
            .collect();
        sort_words(&mut words, |id| &keys[id as usize], |_| ());
        let mut expected: Vec<u32> = (0..keys.len() as u32).collect();
        expected.sort_by_key(|&id| (id % 3, &keys[id as usize], id));
        assert_eq!(
            words.iter().map(|&word| word as u32).collect::<Vec<_>>(),
            expected
        );
    }
}
