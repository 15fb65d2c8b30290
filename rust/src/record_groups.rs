//! From records in memory to groups in the order of (partition, key), combined.
use crate::bytes;
use crate::combine::{Group, Mode};
use crate::combiner::{Combining, Groups};
use crate::group_values::{OpenGroup, Shared};
use crate::object::prefetch;
use crate::records::{MANY, Records, folded_value};
use crate::run_writer::RunWriter;
use crate::sort_word::{AHEAD, is_whole, partition_in, sort_word, sort_words};
use crate::trouble::Trouble;
use std::ops::Range;
use std::sync::Arc;

const PLAIN: u32 = 1 << 31; // the id of a plain record: this and its offset; else a table entry

/// Values that went into a combiner, and came out.
#[derive(Clone, Copy, Default)]
pub struct Combined {
    pub values_in: u64,
    pub values_out: u64,
}

/// Sort the records and write them to `out`, combined.
///
/// A spill that fails leaves the records as they were: they may be written again.
pub fn write(
    records: &mut Records,
    mut out: Box<RunWriter>,
    combining: Combining<'_>,
) -> Result<(Box<RunWriter>, Combined), Trouble> {
    let mut groups = RecordGroups::new(records.take());
    let (groups, written) = match combining {
        Combining::Detached(_) => {
            let written = groups.sort().and_then(|()| groups.write(&mut out));
            (groups, written.map(|combined| (out, combined)))
        }
        Combining::Attached(py, function) => {
            let sorted = py.detach(|| groups.sort());
            let open = Arc::new(Shared::new(groups));
            let written = sorted.and_then(|()| function.write(py, &open, out));
            // Who kept the values of a group keeps no records.
            let empty = RecordGroups::new(records.take());
            let groups = std::mem::replace(&mut *open.wait(py), empty);
            (groups, written)
        }
    };
    *records = groups.into_records();
    written
}

/// The records of a buffer, group by group, in the order of (partition, key).
pub struct RecordGroups {
    records: Records,
    words: Vec<u128>,        // of the records, in order once they are sorted
    places: Vec<(u32, u32)>, // of each key of the table: its values in `gathered`
    gathered: Vec<u8>,       // the values of the log
    group: Range<usize>,     // the words of the open group that were not gone through
    first: u128,             // the first word of it
    next: usize,             // the first word behind it
    partition: usize,        // of the group
    count: u64,              // its values so far
    position: usize,         // in the values of the word at hand
}

impl RecordGroups {
    /// Take the records, which are not yet sorted.
    pub fn new(mut records: Records) -> Self {
        let words = std::mem::take(&mut records.words);
        RecordGroups {
            records,
            words,
            places: Vec::new(),
            gathered: Vec::new(),
            group: 0..0,
            first: 0,
            next: 0,
            partition: 0,
            count: 0,
            position: 0,
        }
    }

    /// Return the records as they were.
    pub fn into_records(mut self) -> Records {
        self.words.retain(|&word| word as u32 & PLAIN != 0);
        self.records.words = self.words;
        self.records
    }

    /// Sort the words, and gather the log in their order.
    pub fn sort(&mut self) -> Result<(), Trouble> {
        for word in &mut self.words {
            *word |= u128::from(PLAIN);
        }
        let records = &self.records;
        self.words.try_reserve_exact(records.table.keys)?;
        for (at, key) in records.table.entries() {
            let word = sort_word(records.partition_of(key), key, at as u32);
            self.words.push(word);
        }
        let mut words = std::mem::take(&mut self.words);
        let key_of = |id| self.key(u128::from(id));
        sort_words(&mut words, key_of, |id| self.prefetch(id));
        self.words = words;
        if self.records.mode == Mode::Keep {
            self.gather()?;
        }
        Ok(())
    }

    /// Write the groups, combined by the mode of the records, each in pieces.
    fn write(&mut self, out: &mut RunWriter) -> Result<Combined, Trouble> {
        let mut group = Group::new(self.records.mode);
        let (mut singles, mut written) = (0, 0);
        while self.next() {
            out.start_group(self.partition, self.key(self.first))?;
            if self.group.len() == 1 {
                let count = self.count_of(self.first);
                written += count;
                singles += u64::from(count == 1 && !self.is_many(self.first));
                self.give(self.first, |values| out.add_values(count, values))?;
                continue;
            }
            for &word in &self.words[self.group.clone()] {
                let count = self.count_of(word);
                let taken = self.give(word, |values| group.put(count, values, out))?;
                taken.expect("the buffer's own values");
            }
            written += group.end(out)?;
        }
        if self.records.mode == Mode::Keep {
            return Ok(Combined::default());
        }
        Ok(Combined {
            values_in: self.records.emitted - singles,
            values_out: written - singles,
        })
    }

    /// Give the values of a word to `take`.
    #[inline]
    fn give<T>(&self, word: u128, take: impl FnOnce(&[u8]) -> T) -> T {
        if self.is_folded(word) {
            let (data, length) = folded_value(self.records.table.owned(word as u32 as usize).0);
            return take(&data.to_le_bytes()[..length]);
        }
        take(self.values_of(word))
    }

    /// Go to the next group; false at the end.
    #[inline]
    fn next(&mut self) -> bool {
        let Some(&first) = self.words.get(self.next) else {
            self.group = self.next..self.next;
            return false;
        };
        let key = self.key(first);
        let start = self.next;
        let mut end = start + 1;
        self.prefetch_at(end + AHEAD);
        while end < self.words.len()
            && self.words[end] >> 32 == first >> 32
            && (is_whole(first) || self.key(self.words[end]) == key)
        {
            end += 1;
            self.prefetch_at(end + AHEAD);
        }
        self.partition = match &self.records.ranges {
            Some(ranges) => ranges.advance(self.partition, key),
            None => partition_in(first),
        };
        self.first = first;
        self.group = start..end;
        self.next = end;
        true
    }

    /// Begin the word at hand as a part of the group, if there is one.
    fn open_word(&mut self) {
        self.position = 0;
        if let Some(&word) = self.words[self.group.clone()].first() {
            self.count += self.count_of(word);
        }
    }

    /// A counting sort: each key's values follow each other in order of emission.
    fn gather(&mut self) -> Result<(), Trouble> {
        self.places.try_reserve_exact(self.records.table.keys)?;
        self.places.resize(self.records.table.keys, (0, 0));
        let mut size = 0;
        for &word in self.words.iter().filter(|&&word| word as u32 & PLAIN == 0) {
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
    fn prefetch_at(&self, index: usize) {
        if let Some(&word) = self.words.get(index) {
            self.prefetch(word as u32);
        }
    }

    /// The key of a word.
    #[inline]
    fn key(&self, word: u128) -> &[u8] {
        let id = word as u32;
        if id & PLAIN == 0 {
            return self.records.table.key(id as usize);
        }
        self.field((id ^ PLAIN) as usize).0
    }

    /// How many values the record of a word has.
    #[inline]
    fn count_of(&self, word: u128) -> u64 {
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
    fn values_of(&self, word: u128) -> &[u8] {
        let id = word as u32;
        if id & PLAIN == 0 {
            let number = self.records.table.owned(id as usize).1;
            let (start, end) = self.places[number as usize];
            return &self.gathered[start as usize..end as usize];
        }
        let start = self.field((id ^ PLAIN) as usize).1;
        self.field(start).0
    }

    /// A key or value of the arena, and the position behind it.
    #[inline]
    fn field(&self, mut position: usize) -> (&[u8], usize) {
        let arena = &self.records.arena[..];
        let length = bytes::varint(arena, &mut position).expect("the buffer's own records");
        (&arena[position..position + length], position + length)
    }
}

impl OpenGroup for RecordGroups {
    fn is_open(&self) -> bool {
        !self.group.is_empty()
    }

    fn values(&self) -> &[u8] {
        self.values_of(self.words[self.group.start])
    }

    fn count(&self) -> u64 {
        self.count_of(self.words[self.group.start])
    }

    fn position(&self) -> usize {
        self.position
    }

    fn set_position(&mut self, position: usize) {
        self.position = position;
    }

    fn step(&mut self) -> Result<(), Trouble> {
        self.group.start += 1;
        self.open_word();
        Ok(())
    }

    fn corrupt(&self) -> Trouble {
        unreachable!("the buffer's own values")
    }
}

impl Groups for RecordGroups {
    fn next_group(&mut self) -> Result<bool, Trouble> {
        let more = self.next();
        self.count = 0;
        self.open_word();
        Ok(more)
    }

    fn is_single(&mut self) -> Result<bool, Trouble> {
        Ok(self.group.len() == 1 && self.count == 1)
    }

    fn partition(&self) -> usize {
        self.partition
    }

    fn key(&self) -> &[u8] {
        RecordGroups::key(self, self.first)
    }

    fn total(&self) -> u64 {
        self.count
    }
}
