//! A hash table of keys, small enough to stay in the cache: one line of it is a whole look-up.
//!
//! A slot is 32 bytes. A key of up to 15 bytes stands in it, as a block: its bytes, zeros, and its
//! length last; so it is compared in registers. Of a longer key the block holds the hash, and the
//! key itself stands in an arena. The rest of a slot is the owner's: a word and a half.
use crate::object::{block_of, prefetch};
use crate::trouble::Trouble;
use xxhash_rust::xxh3::xxh3_64;

const SLOTS_MIN_BITS: u32 = 10;
const SLOT_BYTES_MAX: usize = 86; // of slots for each key, when they have just become more
const SHORT_MAX: usize = 15; // bytes of a key that stands in its slot
const LONG: u8 = 0xFF; // in place of the length

/// An encoded key, in the form that a slot holds it in or as it is.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    Short(u128),
    Long(u8, &'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of a first byte and the others.
    #[inline(always)]
    pub fn new(tag: u8, rest: &'a [u8]) -> Self {
        if rest.len() < SHORT_MAX {
            return Key::Short(short_block(tag, rest));
        }
        Key::Long(tag, rest)
    }

    /// The key of bytes, at most 15.
    #[inline(always)]
    pub fn short(key: &[u8]) -> Key<'static> {
        Key::Short(block_of(key) | (key.len() as u128) << 120)
    }

    /// Its length in bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        match *self {
            Key::Short(block) => (block >> 120) as usize,
            Key::Long(_, rest) => rest.len() + 1,
        }
    }
}

/// The block of a key of a first byte and at most 14 others.
#[inline(always)]
pub fn short_block(tag: u8, rest: &[u8]) -> u128 {
    u128::from(tag) | block_of(rest) << 8 | (rest.len() as u128 + 1) << 120
}

#[derive(Clone, Copy)]
#[repr(align(32))] // two in a line of the cache, and none in two lines
struct Slot {
    block: [u8; 16],
    word: u64,
    half: u32,
    place: u32, // of a long key in the arena
}

const EMPTY: Slot = Slot {
    block: [0; 16], // no key has no bytes
    word: 0,
    half: 0,
    place: 0,
};

/// What `find` found.
pub enum Found {
    Old(usize),
    New(usize),
    Full,
}

pub struct Table {
    slots: Vec<Slot>,
    shift: u32,
    arena: Vec<u8>, // four bytes of length, and a long key; and so on
    pub keys: usize,
}

impl Table {
    pub fn new() -> Self {
        Table {
            slots: vec![EMPTY; 1 << SLOTS_MIN_BITS],
            shift: 64 - SLOTS_MIN_BITS,
            arena: Vec::new(),
            keys: 0,
        }
    }

    /// The bytes in use, beyond those of an empty table, where long keys hold `kept` at the least.
    #[inline]
    pub fn bytes(&self, kept: usize) -> usize {
        let more = (self.slots.len() - (1 << SLOTS_MIN_BITS)) * size_of::<Slot>();
        more.max(self.keys * SLOT_BYTES_MAX) + self.arena.len().max(kept)
    }

    /// Forget all keys; of long ones `kept` bytes were held before. Memory is kept, but slots no
    /// more than a quarter of `bytes_max`. Return the bytes of long keys that are held now.
    pub fn clear(&mut self, kept: usize, bytes_max: usize) -> usize {
        let used = self.arena.len();
        self.arena.clear();
        if used < kept {
            self.arena.shrink_to(used);
        }
        if self.slots.len() * size_of::<Slot>() > bytes_max / 4 {
            (self.slots, self.shift) = (Vec::new(), 64 - SLOTS_MIN_BITS);
            self.slots.resize(1 << SLOTS_MIN_BITS, EMPTY);
        } else {
            self.slots.fill(EMPTY);
        }
        self.keys = 0;
        used
    }

    /// Give back the memory that no long key uses.
    pub fn shrink(&mut self) {
        self.arena.shrink_to_fit();
    }

    /// Have the slot of a short key brought to the cache.
    #[inline(always)]
    pub fn prefetch_short(&self, block: u128) {
        prefetch(&self.slots, (hash_of(block) >> self.shift) as usize);
    }

    /// The slot of a short key, if it is there.
    #[inline(always)]
    pub fn find_short(&self, block: u128) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = (hash_of(block) >> self.shift) as usize;
        loop {
            // SAFETY: `shift` leaves as many bits as there are slots, and `mask` keeps it so.
            let found = u128::from_le_bytes(unsafe { self.slots.get_unchecked(at).block });
            if found == block {
                return Some(at);
            }
            if found == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Find `key`, or add it with the owner's parts 0, unless there are `keys_max` already. Where
    /// a key is changes when another is added.
    #[inline(always)]
    pub fn find(&mut self, key: Key<'_>, keys_max: usize) -> Result<Found, Trouble> {
        let (block, hash) = match key {
            Key::Short(block) => (block, hash_of(block)),
            Key::Long(tag, rest) => long_block(tag, rest),
        };
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let found = u128::from_le_bytes(self.slots[at].block);
            if found == 0 {
                break;
            }
            if found == block && self.is_same(at, key) {
                return Ok(Found::Old(at));
            }
            at = (at + 1) & mask;
        }
        if self.keys >= keys_max {
            return Ok(Found::Full);
        }
        self.add(at, block, key)
    }

    #[inline(never)]
    fn add(&mut self, mut at: usize, block: u128, key: Key<'_>) -> Result<Found, Trouble> {
        let mut slot = EMPTY;
        if let Key::Long(tag, rest) = key {
            let Ok(place) = u32::try_from(self.arena.len()) else {
                return Ok(Found::Full);
            };
            slot.place = place;
            self.arena.try_reserve(rest.len() + 5)?;
            self.arena.extend((rest.len() as u32 + 1).to_le_bytes());
            self.arena.push(tag);
            self.arena.extend_from_slice(rest);
        }
        if (self.keys + 1) * 4 > self.slots.len() * 3 {
            self.grow()?;
            at = self.free_slot(block);
        }
        slot.block = block.to_le_bytes();
        self.slots[at] = slot;
        self.keys += 1;
        Ok(Found::New(at))
    }

    #[inline(always)]
    fn is_same(&self, at: usize, key: Key<'_>) -> bool {
        match key {
            Key::Short(_) => true,
            Key::Long(_, rest) => self.key(at)[1..] == *rest,
        }
    }

    /// Every key, with where its slot is, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let is_full = |(_, slot): &(usize, &Slot)| slot.block != EMPTY.block;
        let full = self.slots.iter().enumerate().filter(is_full);
        full.map(|(at, _)| (at, self.key(at)))
    }

    /// Have the slot at `at` brought to the cache.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        prefetch(&self.slots, at);
    }

    /// The key in the slot at `at`.
    #[inline(always)]
    pub fn key(&self, at: usize) -> &[u8] {
        let slot = &self.slots[at];
        let length = slot.block[SHORT_MAX];
        if length != LONG {
            return &slot.block[..usize::from(length)];
        }
        let (head, keys) = self.arena[slot.place as usize..].split_at(4);
        let length = u32::from_le_bytes(head.try_into().unwrap_or_default());
        &keys[..length as usize]
    }

    /// The owner's word and half of the slot at `at`.
    #[inline(always)]
    pub fn owned(&self, at: usize) -> (u64, u32) {
        let slot = &self.slots[at];
        (slot.word, slot.half)
    }

    /// Set what `owned` returns.
    #[inline(always)]
    pub fn set_owned(&mut self, at: usize, word: u64, half: u32) {
        let slot = &mut self.slots[at];
        (slot.word, slot.half) = (word, half);
    }

    #[cold]
    fn grow(&mut self) -> Result<(), Trouble> {
        let count = self.slots.len() * 2;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count)?;
        slots.resize(count, EMPTY);
        self.shift -= 1;
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot.block != EMPTY.block {
                let at = self.free_slot(u128::from_le_bytes(slot.block));
                self.slots[at] = slot;
            }
        }
        Ok(())
    }

    /// The slot for a key that is not in the table.
    fn free_slot(&self, block: u128) -> usize {
        let mut at = (hash_of_any(block) >> self.shift) as usize;
        while self.slots[at].block != EMPTY.block {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }
}

/// The two halves multiplied and folded, as in wyhash: which keys share a slot is all that it
/// decides, so it need not be strong.
#[inline(always)]
fn hash_of(block: u128) -> u64 {
    let low = block as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let high = (block >> 64) as u64 ^ 0xD1B5_4A32_D192_ED03;
    let product = u128::from(low) * u128::from(high);
    product as u64 ^ (product >> 64) as u64
}

/// The block of a long key, which holds its hash, and the hash.
fn long_block(tag: u8, rest: &[u8]) -> (u128, u64) {
    let hash = xxh3_64(rest);
    let block = u128::from(tag) | u128::from(hash) << 8 | u128::from(LONG) << 120;
    (block, hash)
}

fn hash_of_any(block: u128) -> u64 {
    if (block >> 120) as u8 == LONG {
        return (block >> 8) as u64;
    }
    hash_of(block)
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
        for (number, key) in keys.iter().enumerate() {
            match table.find(Key::new(0x40, key), usize::MAX) {
                Ok(Found::New(at) | Found::Old(at)) => table.set_owned(at, number as u64, 7),
                _ => panic!("there is room"),
            }
        }
        for key in &keys {
            let Ok(Found::Old(at)) = table.find(Key::new(0x40, key), 0) else {
                panic!("it is there");
            };
            assert_eq!(keys[table.owned(at).0 as usize], *key);
            assert_eq!(table.key(at)[1..], key[..]);
            let other = Key::new(0x48, key);
            assert!(matches!(table.find(other, 0), Ok(Found::Full)));
            if let Key::Short(block) = Key::new(0x40, key) {
                assert_eq!(table.find_short(block), Some(at));
            }
        }
        let mut found: Vec<&[u8]> = table.entries().map(|(_, key)| &key[1..]).collect();
        let mut expected: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        found.sort_unstable();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_with_zeros_at_its_end_is_another_key() {
        let mut table = Table::new();
        for length in 0..40 {
            let key = vec![0; length];
            let found = table.find(Key::new(0x48, &key), usize::MAX);
            assert!(matches!(found, Ok(Found::New(_))));
        }
        assert_eq!(table.keys, 40);
    }
}
