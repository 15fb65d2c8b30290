//! A hash table of keys over an arena, small enough to stay in the cache.
//!
//! A slot is 8 bytes: 32 bits of the hash, and where in the arena its entry begins, counted in
//! words. An entry is two words for the owner (of the second, the low half is the length of the
//! key), then the key, padded with zeros to whole words. A key is written at the end of the arena
//! first and compared from there, word by word: no scratch space, and no call of memcmp.
use crate::object::copy_short;
use crate::trouble::Trouble;
use xxhash_rust::xxh3::xxh3_64;

const SLOTS_MIN_BITS: u32 = 12;

/// What `find` found.
pub enum Found {
    Old(usize),
    New(usize),
    Full,
}

pub struct Table {
    arena: Vec<u64>,
    slots: Vec<u64>,
    shift: u32,
    pub keys: usize,
}

impl Table {
    pub fn new() -> Self {
        Table {
            arena: vec![0], // offset 0 means an empty slot
            slots: vec![0; 1 << SLOTS_MIN_BITS],
            shift: 32 - SLOTS_MIN_BITS,
            keys: 0,
        }
    }

    /// The bytes in use: entries, and slots at their loosest.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.arena.len() * 8 + self.keys * 24
    }

    /// Forget all keys; keeps the memory.
    pub fn clear(&mut self) {
        self.arena.truncate(1);
        self.slots.fill(0);
        self.keys = 0;
    }

    /// Find the key `tag` + `rest`, or add it with owner words 0 and its length, unless there are
    /// `keys_max` already.
    #[inline(always)]
    pub fn find(&mut self, tag: u8, rest: &[u8], keys_max: usize) -> Result<Found, Trouble> {
        let length = rest.len() + 1;
        let words = length.div_ceil(8);
        let at = self.arena.len();
        if self.arena.capacity() - at < words + 2 {
            self.grow_arena(words + 2)?;
        }
        // SAFETY: the arena has room for `words + 2` words behind its end, and `copy_short` writes
        // `length` bytes, at most `words` words, from the third on; the last one was zeroed.
        let hash = unsafe {
            let entry = self.arena.as_mut_ptr().add(at);
            entry.add(1 + words).write(0);
            let key = entry.add(2).cast::<u8>();
            key.write(tag);
            copy_short(rest.as_ptr(), key.add(1), rest.len());
            xxh3_64(std::slice::from_raw_parts(key, length)) >> 32
        };
        let mask = self.slots.len() - 1;
        let mut slot = (hash >> self.shift) as usize;
        loop {
            // SAFETY: `slot` was masked, and `hash >> shift` has as many bits as there are slots.
            let found = unsafe { *self.slots.get_unchecked(slot) };
            if found == 0 {
                break;
            }
            if found >> 32 == hash && self.is_equal(found as u32 as usize, at, length) {
                return Ok(Found::Old(found as u32 as usize));
            }
            slot = (slot + 1) & mask;
        }
        if self.keys >= keys_max || at > u32::MAX as usize {
            return Ok(Found::Full);
        }
        self.slots[slot] = hash << 32 | at as u64;
        // SAFETY: all `words + 2` words are written now.
        unsafe {
            let entry = self.arena.as_mut_ptr().add(at);
            entry.write(0);
            entry.add(1).write(length as u64);
            self.arena.set_len(at + 2 + words);
        }
        self.keys += 1;
        if self.keys * 4 > self.slots.len() * 3 {
            self.grow_slots()?;
        }
        Ok(Found::New(at))
    }

    /// Whether the key of the entry at `old` is the one written at `new`, behind the arena's end.
    #[inline(always)]
    fn is_equal(&self, old: usize, new: usize, length: usize) -> bool {
        if self.arena[old + 1] as u32 as usize != length {
            return false;
        }
        // SAFETY: both keys have been written, padded to whole words.
        unsafe {
            let arena = self.arena.as_ptr();
            (2..2 + length.div_ceil(8)).all(|word| *arena.add(old + word) == *arena.add(new + word))
        }
    }

    /// Every key, with where its entry is, in order of insertion.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut next = 1;
        std::iter::from_fn(move || {
            let at = next;
            if at >= self.arena.len() {
                return None;
            }
            let key = self.key(at);
            next += 2 + key.len().div_ceil(8);
            Some((at, key))
        })
    }

    /// The key of the entry at `at`.
    #[inline(always)]
    pub fn key(&self, at: usize) -> &[u8] {
        let length = self.arena[at + 1] as u32 as usize;
        let words = &self.arena[at + 2..at + 2 + length.div_ceil(8)];
        // SAFETY: any words are bytes, and there are at least `length`.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), length) }
    }

    /// The first word of the entry at `at`, and the high half of the second: the owner's.
    #[inline(always)]
    pub fn owned(&self, at: usize) -> (u64, u32) {
        (self.arena[at], (self.arena[at + 1] >> 32) as u32)
    }

    /// Set what `owned` returns.
    #[inline(always)]
    pub fn set_owned(&mut self, at: usize, word: u64, half: u32) {
        self.arena[at] = word;
        let length = self.arena[at + 1] as u32;
        self.arena[at + 1] = u64::from(half) << 32 | u64::from(length);
    }

    #[cold]
    #[inline(never)]
    fn grow_arena(&mut self, words: usize) -> Result<(), Trouble> {
        Ok(self.arena.try_reserve(words.max(1 << 14))?)
    }

    #[cold]
    #[inline(never)]
    fn grow_slots(&mut self) -> Result<(), Trouble> {
        let count = self.slots.len() * 2;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count)?;
        slots.resize(count, 0);
        self.shift -= 1;
        for found in std::mem::replace(&mut self.slots, slots) {
            if found != 0 {
                let mut slot = (found >> 32 >> self.shift) as usize;
                while self.slots[slot] != 0 {
                    slot = (slot + 1) & (count - 1);
                }
                self.slots[slot] = found;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_again_and_only_they() {
        let mut table = Table::new();
        let keys: Vec<Vec<u8>> = (0..20_000u32)
            .map(|n| n.to_string().repeat(1 + n as usize % 7).into_bytes())
            .collect();
        let mut places = Vec::new();
        for key in &keys {
            match table.find(0x40, key, usize::MAX) {
                Ok(Found::New(at) | Found::Old(at)) => places.push(at),
                _ => panic!("there is room"),
            }
        }
        for (key, place) in keys.iter().zip(&places) {
            assert!(matches!(table.find(0x40, key, 0), Ok(Found::Old(at)) if at == *place));
            assert_eq!(table.key(*place)[1..], key[..]);
            assert!(matches!(table.find(0x48, key, 0), Ok(Found::Full)));
        }
    }
}
