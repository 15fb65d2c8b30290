//! Records that wait for the slot of their key to arrive in the cache.
//!
//! A look-up in a table of megabytes mostly waits for memory. So a record is not looked up at once:
//! its slot is asked for, and the record before it, whose slot has had the time of a whole call of
//! `emit` to arrive, takes its turn. The order of records stays.
use super::Records;
use crate::bytes::int_bytes;
use crate::table::Key;
use crate::trouble::Trouble;

const DEPTH: usize = 2;

/// A short key and an int.
#[derive(Clone, Copy, Default)]
struct Record {
    block: u128,
    value: i64,
}

/// A queue.
#[derive(Default)]
pub struct Pending {
    ring: [Record; DEPTH],
    first: usize,
    count: usize,
    unsettled: Option<Record>, // comes before all others
}

impl Records {
    /// Let a record wait, and take the one whose turn it is; false if there is anything to decide
    /// about that one: then `settle_first` takes it.
    #[inline(always)]
    pub fn pend(&mut self, block: u128, value: i64) -> bool {
        self.table.prefetch_short(block);
        let pending = &mut self.pending;
        let record = Record { block, value };
        if pending.count < DEPTH {
            pending.ring[(pending.first + pending.count) % DEPTH] = record;
            pending.count += 1;
            return true;
        }
        let due = std::mem::replace(&mut pending.ring[pending.first], record);
        pending.first = (pending.first + 1) % DEPTH;
        if self.add_known(due.block, due.value) {
            return true;
        }
        self.pending.unsettled = Some(due);
        false
    }

    /// Take the record that `pend` could not.
    pub fn settle_first(&mut self) -> Result<(), Trouble> {
        if let Some(due) = self.pending.unsettled.take() {
            self.add_int(Key::Short(due.block), due.value, int_bytes(due.value))?;
        }
        Ok(())
    }

    /// Take all records that wait.
    #[inline]
    pub fn settle(&mut self) -> Result<(), Trouble> {
        if self.pending.count == 0 && self.pending.unsettled.is_none() {
            return Ok(());
        }
        self.settle_all()
    }

    #[inline(never)]
    fn settle_all(&mut self) -> Result<(), Trouble> {
        self.settle_first()?;
        while self.pending.count > 0 {
            let pending = &mut self.pending;
            let due = pending.ring[pending.first];
            pending.first = (pending.first + 1) % DEPTH;
            pending.count -= 1;
            self.add_int(Key::Short(due.block), due.value, int_bytes(due.value))?;
        }
        Ok(())
    }
}
