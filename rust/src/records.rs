//! The records of a buffer, as bytes: a hash table for keys that come often, a list for the rest.
//!
//! - A key in the table is stored once; its values stand in a log, with the number of the key.
//!   With SUM, MIN and MAX of ints there is no log: they are combined in place.
//! - Any other record is plain: key and value stand in an arena, with a sort word.
//!
//! The table takes the first `KEYS_MAX` keys, as many as stay in the cache, and no more; when few
//! records hit it, it is left alone until the next spill. All grouped values of a key are older
//! than its plain ones, so the order of emission holds.
use crate::bytes::{int_bytes, put_varint};
use crate::combine::Mode;
use crate::object::copy_short;
use crate::sort_word::sort_word;
use crate::table::{Found, Table};
use crate::trouble::Trouble;
use std::ptr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

// Measured with words of a text, a million keys, and keys that never repeat: 16 k to 32 k was best
// or near best in each; an unbounded table costs 200 ns a record in cache misses. This many fill
// three quarters of 32 k slots.
const KEYS_MAX: usize = 3 << 13;
const WINDOW: u32 = 4096; // misses between looks at whether the table pays
const BYTES_MAX: usize = 1 << 30; // offsets have 31 bits
pub const MANY: u32 = 1 << 31; // of a combined entry: it stands for two records or more

/// Records in memory.
pub struct Records {
    pub mode: Mode,
    pub partitions: u32,
    partition_seed: u64,
    pub emitted: u64, // since the last `clear`
    pub table: Table,
    pub log: Vec<u8>,     // u32 number of the key, value; and so on
    pub arena: Vec<u8>,   // varint length, key, varint length, value; and so on
    pub words: Vec<u128>, // of the plain records; the id is the offset in the arena
    bytes_max: usize,
    kept: [usize; 3], // bytes of log, arena and words that were used before and not given back
    is_skipped: bool, // the table is left alone
    misses: u32,
    hits: u32,
}

impl Records {
    /// `bytes_max` is the memory to use, beyond one record.
    pub fn new(mode: Mode, partitions: u32, bytes_max: usize, partition_seed: u64) -> Self {
        Records {
            mode,
            partitions,
            partition_seed,
            emitted: 0,
            table: Table::new(),
            log: Vec::new(),
            arena: Vec::new(),
            words: Vec::new(),
            bytes_max: bytes_max.min(BYTES_MAX),
            kept: [0; 3],
            is_skipped: false,
            misses: 0,
            hits: 0,
        }
    }

    /// Whether it is time to spill, counting memory that an earlier buffer has used and what a
    /// spill will need: the sort words of the table's keys, their positions, and the values of the
    /// log in order.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        let [log, arena, words] = self.kept;
        let held = self.table.bytes()
            + self.table.keys * 40
            + (self.log.len() * 2).max(log)
            + self.arena.len().max(arena)
            + (self.words.len() * 16).max(words);
        held > self.bytes_max
    }

    /// Forget all records; memory is kept where they used most of it.
    pub fn clear(&mut self) {
        self.kept = [
            emptied(&mut self.log, self.kept[0]),
            emptied(&mut self.arena, self.kept[1]),
            emptied(&mut self.words, self.kept[2]),
        ];
        self.table.clear();
        self.emitted = 0;
        self.is_skipped = false;
        (self.misses, self.hits) = (0, 0);
    }

    /// Take a record whose value is an int; `encoded` is its encoding and how long that is.
    #[inline(always)]
    pub fn add_int(
        &mut self,
        tag: u8,
        rest: &[u8],
        value: i64,
        encoded: (u128, usize),
    ) -> Result<(), Trouble> {
        if self.mode != Mode::Keep && !self.is_skipped {
            match self.table.find(tag, rest, KEYS_MAX)? {
                Found::New(at) => {
                    self.table.set_owned(at, value as u64, 0);
                    self.emitted += 1;
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
            let target = self.place(tag, rest, encoded.1)?;
            push(target, encoded.0, encoded.1);
            return Ok(());
        }
        let target = self.plain(tag, rest, encoded.1, None)?;
        push(target, encoded.0, encoded.1);
        Ok(())
    }

    /// Take a record with any value, encoded.
    pub fn add(&mut self, key: &[u8], value: &[u8], partition: Option<u32>) -> Result<(), Trouble> {
        let (tag, rest) = (key[0], &key[1..]);
        let target = if self.mode == Mode::Keep && partition.is_none() {
            self.place(tag, rest, value.len())?
        } else {
            self.plain(tag, rest, value.len(), partition)?
        };
        target.extend_from_slice(value);
        Ok(())
    }

    /// The partition of an encoded key.
    #[inline(always)]
    pub fn partition_of(&self, key: &[u8]) -> u32 {
        if self.partitions == 1 {
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
    fn place(&mut self, tag: u8, rest: &[u8], length: usize) -> Result<&mut Vec<u8>, Trouble> {
        if self.is_skipped {
            return self.plain(tag, rest, length, None);
        }
        let (at, number) = match self.table.find(tag, rest, KEYS_MAX)? {
            Found::New(at) => (at, self.table.keys as u32 - 1),
            Found::Old(at) => {
                self.hits += 1;
                (at, self.table.owned(at).1)
            }
            Found::Full => {
                self.miss();
                return self.plain(tag, rest, length, None);
            }
        };
        // The number of values, and in the high half their bytes: a buffer has fewer than 2 GiB.
        let counts = self.table.owned(at).0 + 1 + ((length as u64) << 32);
        self.table.set_owned(at, counts, number);
        self.emitted += 1;
        reserve(&mut self.log, 4 + length)?;
        push(&mut self.log, u128::from(number), 4);
        Ok(&mut self.log)
    }

    /// Begin a plain record and return where its value's `length` bytes go.
    #[inline(always)]
    fn plain(
        &mut self,
        tag: u8,
        rest: &[u8],
        length: usize,
        partition: Option<u32>,
    ) -> Result<&mut Vec<u8>, Trouble> {
        let id = self.arena.len();
        reserve(&mut self.arena, rest.len() + length)?;
        if self.words.len() == self.words.capacity() {
            self.words.try_reserve(1 << 12)?;
        }
        put_varint(&mut self.arena, rest.len() + 1);
        let start = self.arena.len();
        // SAFETY: `reserve` made room for the key and 32 bytes more.
        unsafe {
            let target = self.arena.as_mut_ptr().add(start);
            target.write(tag);
            copy_short(rest.as_ptr(), target.add(1), rest.len());
            self.arena.set_len(start + 1 + rest.len());
        }
        let key = &self.arena[start..];
        let partition = partition.unwrap_or_else(|| self.partition_of(key));
        self.words.push(sort_word(partition, key, id as u32));
        self.emitted += 1;
        put_varint(&mut self.arena, length);
        Ok(&mut self.arena)
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

/// Empty `list`, of which `kept` bytes had been used before, and return how many count now.
fn emptied<T>(list: &mut Vec<T>, kept: usize) -> usize {
    let used = size_of_val(&list[..]);
    if used < kept / 2 {
        *list = Vec::new(); // The records have changed their nature.
        return 0;
    }
    list.clear();
    // Counted short, so that buffers of much the same records do not get smaller and smaller.
    kept.max(used / 4 * 3)
}

/// The one value of a combined entry of the table.
pub fn folded_value(word: u64) -> (u128, usize) {
    int_bytes(word as i64)
}

/// Make room for `length` bytes and 32 more, by doubling.
#[inline(always)]
fn reserve(target: &mut Vec<u8>, length: usize) -> Result<(), Trouble> {
    if target.capacity() - target.len() < length + 32 {
        grow(target, length + 32)?;
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn grow(target: &mut Vec<u8>, length: usize) -> Result<(), Trouble> {
    Ok(target.try_reserve(length.max(1 << 12))?)
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
