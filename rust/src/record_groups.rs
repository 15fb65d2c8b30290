//! From records in memory to groups in the order of (partition, key), combined.
use crate::bytes;
use crate::combine::{Group, Mode};
use crate::object::prefetch;
use crate::records::{MANY, Records, folded_value};
use crate::run_writer::RunWriter;
use crate::sort_word::{AHEAD, is_whole, partition_in, sort_word, sort_words};
use crate::trouble::Trouble;

const PLAIN: u32 = 1 << 31; // the id of a plain record: this and its offset; else a table entry

/// Values that went into a combiner, and came out.
#[derive(Clone, Copy, Default)]
pub struct Combined {
    pub values_in: u64,
    pub values_out: u64,
}

/// Sort the records and write them to `out`, combined; no Python runs.
pub fn write(records: &mut Records, out: &mut RunWriter<'_>) -> Result<Combined, Trouble> {
    let mut group = Group::new(records.mode);
    let (mut singles, mut written) = (0, 0);
    let is_combined = records.mode != Mode::Keep;
    visit(records, |partition, key, is_single, count, values| {
        out.start_group(partition, key)?;
        if is_combined && count > 1 {
            group.clear();
            group.add(values).expect("the buffer's own values");
            group.close();
            written += group.count;
            return out.add_values(group.count, &group.passed);
        }
        written += count;
        singles += u64::from(is_single);
        out.add_values(count, values)
    })?;
    Ok(Combined {
        values_in: if is_combined {
            records.emitted - singles
        } else {
            0
        },
        values_out: if is_combined { written - singles } else { 0 },
    })
}

/// Call `each` with the partition, the key, whether it was emitted once, the number of values,
/// and the values of each group, in order.
pub fn visit(
    records: &mut Records,
    each: impl FnMut(usize, &[u8], bool, u64, &[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut words = std::mem::take(&mut records.words);
    for word in &mut words {
        *word |= u128::from(PLAIN);
    }
    let visited = visit_sorted(records, &mut words, each);
    // A spill that fails leaves the records as they were: they may be written again.
    words.retain(|&word| word as u32 & PLAIN != 0);
    records.words = words;
    visited
}

fn visit_sorted(
    records: &Records,
    words: &mut Vec<u128>,
    mut each: impl FnMut(usize, &[u8], bool, u64, &[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    words.try_reserve_exact(records.table.keys)?;
    for (at, key) in records.table.entries() {
        words.push(sort_word(records.partition_of(key), key, at as u32));
    }
    let sorted = Sorted::new(records, words)?;
    let mut values = Vec::new();
    let (mut start, mut partition) = (0, 0);
    while start < words.len() {
        let (first, key) = (words[start], sorted.key(words[start]));
        let mut end = start + 1;
        sorted.prefetch_at(words, end + AHEAD);
        while end < words.len()
            && words[end] >> 32 == first >> 32
            && (is_whole(first) || sorted.key(words[end]) == key)
        {
            end += 1;
            sorted.prefetch_at(words, end + AHEAD);
        }
        partition = match &records.ranges {
            Some(ranges) => ranges.advance(partition, key),
            None => partition_in(first),
        };
        let mut count = sorted.count(first);
        if end == start + 1 && !sorted.is_folded(first) {
            each(partition, key, count == 1, count, sorted.values(first))?;
        } else {
            values.clear();
            sorted.append(first, &mut values);
            for &word in &words[start + 1..end] {
                count += sorted.count(word);
                sorted.append(word, &mut values);
            }
            let is_single = count == 1 && !sorted.is_many(first);
            each(partition, key, is_single, count, &values)?;
        }
        start = end;
    }
    Ok(())
}

/// The records of a buffer, with the values of the log gathered by key.
struct Sorted<'a> {
    records: &'a Records,
    places: Vec<(u32, u32)>, // of each key of the table: its values in `gathered`
    gathered: Vec<u8>,
}

impl<'a> Sorted<'a> {
    /// Sort `words`, and gather the log in their order.
    fn new(records: &'a Records, words: &mut [u128]) -> Result<Self, Trouble> {
        let mut sorted = Sorted {
            records,
            places: Vec::new(),
            gathered: Vec::new(),
        };
        let key_of = |id| sorted.key(u128::from(id));
        sort_words(words, key_of, |id| sorted.prefetch(id));
        if records.mode == Mode::Keep {
            sorted.gather(words)?;
        }
        Ok(sorted)
    }

    /// A counting sort: each key's values follow each other in order of emission.
    fn gather(&mut self, words: &[u128]) -> Result<(), Trouble> {
        self.places.try_reserve_exact(self.records.table.keys)?;
        self.places.resize(self.records.table.keys, (0, 0));
        let mut size = 0;
        for &word in words.iter().filter(|&&word| word as u32 & PLAIN == 0) {
            let (counts, number) = self.records.table.owned(word as u32 as usize);
            self.places[number as usize] = (size, size);
            size += (counts >> 32) as u32;
        }
        self.gathered.try_reserve_exact(size as usize)?;
        self.gathered.resize(size as usize, 0);
        let log = &self.records.log[..];
        let mut position = 0;
        while let Some(head) = log.get(position..position + 4) {
            let number = u32::from_le_bytes(head.try_into().unwrap_or_default());
            let start = position + 4;
            let end = bytes::end(log, start).expect("the buffer's own values");
            let place = &mut self.places[number as usize].1;
            let target = *place as usize;
            self.gathered[target..target + end - start].copy_from_slice(&log[start..end]);
            *place += (end - start) as u32;
            position = end;
        }
        Ok(())
    }

    /// Have a record brought to the cache: they lie about in any order.
    #[inline]
    fn prefetch(&self, id: u32) {
        if id & PLAIN == 0 {
            self.records.table.prefetch(id as usize);
        } else {
            prefetch(&self.records.arena, (id ^ PLAIN) as usize);
        }
    }

    #[inline]
    fn prefetch_at(&self, words: &[u128], index: usize) {
        if let Some(&word) = words.get(index) {
            self.prefetch(word as u32);
        }
    }

    /// The key of a word.
    #[inline]
    fn key(&self, word: u128) -> &'a [u8] {
        let id = word as u32;
        if id & PLAIN == 0 {
            return self.records.table.key(id as usize);
        }
        self.field((id ^ PLAIN) as usize).0
    }

    /// How many values the record of a word has.
    #[inline]
    fn count(&self, word: u128) -> u64 {
        let id = word as u32;
        if id & PLAIN != 0 || self.records.mode != Mode::Keep {
            return 1;
        }
        u64::from(self.records.table.owned(id as usize).0 as u32)
    }

    /// Whether the record of a word is an int, combined in the table.
    #[inline]
    fn is_folded(&self, word: u128) -> bool {
        word as u32 & PLAIN == 0 && self.records.mode != Mode::Keep
    }

    /// Whether it stands for two records or more.
    #[inline]
    fn is_many(&self, word: u128) -> bool {
        self.is_folded(word) && self.records.table.owned(word as u32 as usize).1 & MANY != 0
    }

    /// The values of the record of a word, which is not folded.
    #[inline]
    fn values(&self, word: u128) -> &[u8] {
        let id = word as u32;
        if id & PLAIN == 0 {
            let number = self.records.table.owned(id as usize).1;
            let (start, end) = self.places[number as usize];
            return &self.gathered[start as usize..end as usize];
        }
        let start = self.field((id ^ PLAIN) as usize).1;
        self.field(start).0
    }

    #[inline]
    fn append(&self, word: u128, out: &mut Vec<u8>) {
        if self.is_folded(word) {
            let (data, length) = folded_value(self.records.table.owned(word as u32 as usize).0);
            out.extend_from_slice(&data.to_le_bytes()[..length]);
        } else {
            out.extend_from_slice(self.values(word));
        }
    }

    /// A key or value of the arena, and the position behind it.
    #[inline]
    fn field(&self, mut position: usize) -> (&'a [u8], usize) {
        let arena = &self.records.arena[..];
        let length = bytes::varint(arena, &mut position).expect("the buffer's own records");
        (&arena[position..position + length], position + length)
    }
}
