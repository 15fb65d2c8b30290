//! How much memory the records of a buffer take, and when they take too much.
//!
//! Counted are bytes in use, not those that a list has reserved: the kernel gives a page when it is
//! first written. Lists keep their memory over a spill, so they count as what they held then, until
//! they give it back.
use super::{Records, SPARE_BYTES};
use crate::table::Table;

// Of a key of the table when it spills: a sort word, held twice while its list grows, and a place.
const KEY_BYTES: usize = 40;
// Memory is given back if that makes room for this part of the buffer: sizes that differ by a
// little from spill to spill are no reason.
const GIVEN_BACK_MIN: usize = 8;

impl Records {
    /// Whether it is time to spill; also how long the log may get before that is asked again,
    /// while it alone grows.
    ///
    /// What counts is the memory that is held now, also where it was used before the last spill,
    /// and what a spill will need.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        let mut held = self.bytes(&self.kept);
        if held > self.bytes_max && self.gives_back() {
            held = self.bytes(&self.kept);
        }
        let room = self
            .log
            .capacity()
            .saturating_sub(self.log.len() + SPARE_BYTES);
        let spare = self.bytes_max.saturating_sub(held) / 2;
        self.log_end = self.log.len() + spare.min(room);
        held > self.bytes_max
    }

    /// Forget all records; their memory is kept for those that come.
    pub fn clear(&mut self) {
        self.kept = Kept {
            keys: self.table.clear(self.kept.keys, self.bytes_max),
            log: emptied(&mut self.log, self.kept.log),
            arena: emptied(&mut self.arena, self.kept.arena),
            words: emptied(&mut self.words, self.kept.words),
        };
        self.log_end = 0;
        self.emitted = 0;
        self.is_skipped = false;
        (self.misses, self.hits) = (0, 0);
    }

    /// Whether a record of `length` bytes needs the room of the others: it is there as it comes, in
    /// the arena, and when it is written as a block, also compressed.
    pub fn is_small_for(&self, length: usize) -> bool {
        self.emitted > 0 && self.bytes(&self.kept) + 4 * length > self.bytes_max
    }

    /// Give all memory back.
    pub fn release(&mut self) {
        self.clear();
        (self.table, self.kept) = (Table::new(), Kept::default());
        (self.log, self.arena, self.words) = (Vec::new(), Vec::new(), Vec::new());
    }

    /// The memory in use if the lists hold what was `kept`, at the least. A spill adds the sort
    /// words of the table's keys, where their values begin, and the log once more, in order.
    #[inline(always)]
    fn bytes(&self, kept: &Kept) -> usize {
        self.table.bytes(kept.keys)
            + self.table.keys * KEY_BYTES
            + self.log.len().max(kept.log)
            + self.log.len()
            + self.arena.len().max(kept.arena)
            + (self.words.len() * 16).max(kept.words)
    }

    /// Give back what was kept for records of another nature, if that makes much room.
    #[cold]
    #[inline(never)]
    fn gives_back(&mut self) -> bool {
        let used = self.bytes(&Kept::default());
        if used + self.bytes_max / GIVEN_BACK_MIN > self.bytes_max {
            return false;
        }
        self.kept = Kept::default();
        self.table.shrink();
        self.log.shrink_to_fit();
        self.arena.shrink_to_fit();
        self.words.shrink_to_fit();
        true
    }
}

/// The bytes of each list that were in use before the last `clear`, and are held still.
#[derive(Default)]
pub struct Kept {
    keys: usize, // long ones
    log: usize,
    arena: usize,
    words: usize,
}

/// Empty `list`, of which `kept` bytes are held, and return how many it holds now: those that
/// were in use.
fn emptied<T>(list: &mut Vec<T>, kept: usize) -> usize {
    let used = list.len();
    list.clear();
    if used * size_of::<T>() < kept {
        list.shrink_to(used);
    }
    used * size_of::<T>()
}
