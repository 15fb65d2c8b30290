//! The records of a buffer, as bytes: a hash table for keys that come often, a list for the rest.
//!
//! - A key in the table is stored once; its values stand in a log, with the number of the key.
//!   With SUM, MIN and MAX of ints there is no log: they are combined in place.
//! - Any other record is plain: key and value stand in an arena, with a sort word.
//!
//! The table takes the first `KEYS_MAX` keys, as many as stay in the cache, and no more; when few
//! records hit it, it is left alone until the next spill. All grouped values of a key are older
//! than its plain ones, so the order of emission holds.
mod pending;
mod room;

use crate::bytes::{int_bytes, put_varint};
use crate::combine::Mode;
use crate::ranges::Ranges;
use crate::sort_word::{short_sort_word, sort_word};
use crate::table::{Found, Key, Table};
use crate::trouble::Trouble;
use std::ptr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

// Three quarters of 128 k slots, 4 MiB: they stay in the cache that cores share. Measured with 64 MB
// of words of a text, ns for each emit with SUM, to the end of the write: 79 with 12 k keys, 65 with
// 24 k, 58 with 48 k, 51 with 96 k; without a combiner 91, 78, 80, 76.
const KEYS_MAX: usize = 3 << 15;
// Of a million keys that come about as often, 33 pairs are expected in so many records: with fewer
// the table would be filled with keys that do not come again, at three times what a plain one costs.
const TRIAL_KEYS: usize = 1 << 13;
const TRIAL_HITS: u32 = 32;
const WINDOW: u32 = 4096; // misses between looks at whether the table pays
const OFFSET_MAX: usize = (1 << 31) - 1; // the last bit says which kind of record it is
/// Of a buffer, and of one record more; so offsets fit.
pub const BYTES_MAX: usize = 1 << 30;
const SPARE_BYTES: usize = 32; // two lengths, and the bytes that `push` writes beyond the end
pub const MANY: u32 = 1 << 31; // of a combined entry: it stands for two records or more

/// Records in memory.
pub struct Records {
    pub mode: Mode,
    pub partitions: u32,
    partition_seed: u64,
    pub ranges: Option<Ranges>, // partitions are not known before records are sorted
    pub emitted: u64,           // since the last `clear`
    pub table: Table,
    pub log: Vec<u8>,     // u32 number of the key, value; and so on
    pub arena: Vec<u8>,   // varint length, key, varint length, value; and so on
    pub words: Vec<u128>, // of the plain records; the id is the offset in the arena
    log_end: usize,       // up to here the log grows without a look at anything else
    bytes_max: usize,
    kept: room::Kept,
    pub is_skipped: bool, // the table is left alone
    misses: u32,
    hits: u32,
    pending: pending::Pending,
}

impl Records {
    /// `bytes_max` is the memory to use, beyond one record.
    pub fn new(
        mode: Mode,
        partitions: u32,
        bytes_max: usize,
        partition_seed: u64,
        ranges: Option<Ranges>,
    ) -> Self {
        Records {
            mode,
            partitions,
            partition_seed,
            ranges,
            emitted: 0,
            table: Table::new(),
            log: Vec::new(),
            arena: Vec::new(),
            words: Vec::new(),
            log_end: 0,
            bytes_max: bytes_max.min(BYTES_MAX),
            kept: room::Kept::default(),
            is_skipped: false,
            misses: 0,
            hits: 0,
            pending: pending::Pending::default(),
        }
    }

    /// Leave an empty buffer of the same kind, and return this one.
    pub fn take(&mut self) -> Self {
        let empty = Records::new(
            self.mode,
            self.partitions,
            self.bytes_max,
            self.partition_seed,
            None,
        );
        std::mem::replace(self, empty)
    }

    /// Take a record whose short key is in the table; false if that is not so, or there is
    /// anything to decide.
    #[inline(always)]
    fn add_known(&mut self, block: u128, value: i64) -> bool {
        let Some(at) = self.table.find_short(block) else {
            return false;
        };
        if self.mode != Mode::Keep {
            let folded = self.fold(at, value);
            self.emitted += u64::from(folded);
            return folded;
        }
        let (data, length) = int_bytes(value);
        if self.log.len() + 4 + length > self.log_end {
            return false;
        }
        self.hits += 1;
        self.note(at, length);
        push(&mut self.log, data, length);
        true
    }

    /// Take a record whose value is an int.
    pub fn add_int(
        &mut self,
        key: Key<'_>,
        value: i64,
        encoded: (u128, usize),
    ) -> Result<(), Trouble> {
        if self.mode != Mode::Keep && !self.is_skipped {
            match self.table.find(key, KEYS_MAX)? {
                Found::New(at) => {
                    self.table.set_owned(at, value as u64, 0);
                    self.emitted += 1;
                    self.try_table();
                    return Ok(());
                }
                Found::Old(at) => {
                    if self.fold(at, value) {
                        self.emitted += 1;
                        return Ok(());
                    }
                }
                Found::Full => self.miss(),
            }
        } else if self.mode == Mode::Keep {
            let target = self.place(key, encoded.1)?;
            push(target, encoded.0, encoded.1);
            return Ok(());
        }
        let target = self.plain(key, encoded.1, None)?;
        push(target, encoded.0, encoded.1);
        Ok(())
    }

    /// Take a record with any value, encoded.
    pub fn add(
        &mut self,
        key: Key<'_>,
        value: &[u8],
        partition: Option<u32>,
    ) -> Result<(), Trouble> {
        let target = if self.mode == Mode::Keep && partition.is_none() {
            self.place(key, value.len())?
        } else {
            self.plain(key, value.len(), partition)?
        };
        target.extend_from_slice(value);
        Ok(())
    }

    /// The partition of an encoded key; 0 where ranges say it when records are sorted.
    #[inline(always)]
    pub fn partition_of(&self, key: &[u8]) -> u32 {
        if self.partitions == 1 || self.ranges.is_some() {
            return 0;
        }
        (xxh3_64_with_seed(key, self.partition_seed) % u64::from(self.partitions)) as u32
    }

    /// Combine an int with that of an entry; false if the sum is too large.
    #[inline(always)]
    fn fold(&mut self, at: usize, value: i64) -> bool {
        let held = self.table.owned(at).0 as i64;
        let folded = match self.mode {
            Mode::Max => held.max(value),
            Mode::Min => held.min(value),
            _ => match held.checked_add(value) {
                Some(total) => total,
                None => return false,
            },
        };
        self.table.set_owned(at, folded as u64, MANY);
        self.hits += 1;
        true
    }

    /// Begin a record and return where its value's `length` bytes go, in the table's log or not.
    #[inline(always)]
    fn place(&mut self, key: Key<'_>, length: usize) -> Result<&mut Vec<u8>, Trouble> {
        if self.is_skipped {
            return self.plain(key, length, None);
        }
        reserve(&mut self.log, 4 + length)?;
        match self.table.find(key, KEYS_MAX)? {
            Found::New(at) => {
                self.table.set_owned(at, 0, self.table.keys as u32 - 1);
                self.note(at, length);
                self.try_table();
            }
            Found::Old(at) => {
                self.hits += 1;
                self.note(at, length);
            }
            Found::Full => {
                self.miss();
                return self.plain(key, length, None);
            }
        }
        Ok(&mut self.log)
    }

    /// Count a value of `length` bytes for the key at `at`, and begin it in the log, which has
    /// room.
    #[inline(always)]
    fn note(&mut self, at: usize, length: usize) {
        // The number of values, and in the high half their bytes: a buffer has fewer than 2 GiB.
        let (counts, number) = self.table.owned(at);
        self.table
            .set_owned(at, counts + 1 + ((length as u64) << 32), number);
        self.emitted += 1;
        push(&mut self.log, u128::from(number), 4);
    }

    /// Begin a plain record and return where its value's `length` bytes go.
    #[inline(always)]
    fn plain(
        &mut self,
        key: Key<'_>,
        length: usize,
        partition: Option<u32>,
    ) -> Result<&mut Vec<u8>, Trouble> {
        let id = self.arena.len();
        let size = key.len();
        reserve(&mut self.arena, size + length)?;
        if self.words.len() == self.words.capacity() {
            self.words.try_reserve(1 << 12)?;
        }
        put_varint(&mut self.arena, size);
        let word = match key {
            Key::Short(block) => {
                push(&mut self.arena, block, size);
                let partition = match partition {
                    Some(partition) => partition,
                    None => self.partition_of(&block.to_le_bytes()[..size]),
                };
                short_sort_word(partition, block, size, id as u32)
            }
            Key::Long(tag, rest) => {
                let start = self.arena.len();
                self.arena.push(tag);
                self.arena.extend_from_slice(rest);
                let key = &self.arena[start..];
                let partition = partition.unwrap_or_else(|| self.partition_of(key));
                sort_word(partition, key, id as u32)
            }
        };
        self.words.push(word);
        self.emitted += 1;
        put_varint(&mut self.arena, length);
        Ok(&mut self.arena)
    }

    /// Leave the table alone if its first keys hardly ever came again.
    #[inline(always)]
    fn try_table(&mut self) {
        if self.table.keys == TRIAL_KEYS {
            self.is_skipped = self.hits < TRIAL_HITS;
        }
    }

    /// Note a record whose key is not in the full table, which pays if half of them hit.
    #[inline(always)]
    fn miss(&mut self) {
        self.misses += 1;
        if self.misses == WINDOW {
            self.is_skipped = self.hits < WINDOW;
            (self.misses, self.hits) = (0, 0);
        }
    }
}

/// The one value of a combined entry of the table.
pub fn folded_value(word: u64) -> (u128, usize) {
    int_bytes(word as i64)
}

/// Make room for `length` bytes and some more, by doubling.
#[inline(always)]
fn reserve(target: &mut Vec<u8>, length: usize) -> Result<(), Trouble> {
    if target.capacity() - target.len() < length + SPARE_BYTES {
        grow(target, length + SPARE_BYTES)?;
    }
    Ok(())
}

/// Grow to twice the capacity. Only a buffer whose spills fail, while user code goes on, ever gets
/// near the largest offset.
#[cold]
#[inline(never)]
fn grow(target: &mut Vec<u8>, length: usize) -> Result<(), Trouble> {
    let left = OFFSET_MAX - target.len();
    if length > left {
        return Err(Trouble::Memory);
    }
    let more = length.max(1 << 12).max(target.capacity()).min(left);
    Ok(target.try_reserve_exact(more)?)
}

/// Append the low `length` bytes, at most 16, with one store; `reserve` made room.
#[inline(always)]
fn push(target: &mut Vec<u8>, data: u128, length: usize) {
    debug_assert!(length <= 16 && target.capacity() - target.len() >= 16);
    // SAFETY: there is room for 16 bytes, and the first `length` of them become part of it.
    unsafe {
        let end = target.as_mut_ptr().add(target.len());
        ptr::write_unaligned(end.cast::<u128>(), data.to_le());
        target.set_len(target.len() + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_grows_beyond_the_last_offset() {
        let mut list = vec![0; 100];
        assert!(grow(&mut list, OFFSET_MAX - 99).is_err());
        assert!(grow(&mut list, 5000).is_ok());
        assert!((5100..10_000).contains(&list.capacity()));
    }
}
