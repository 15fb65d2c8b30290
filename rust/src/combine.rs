//! SUM, MIN and MAX over encoded values, exact.
//!
//! The same laws as `pymr/shuffle/builtin.py`: what cannot be combined is passed on, in order;
//! what was combined comes last. SUM adds ints; a sum beyond 128 bits goes on as several values,
//! which the reducer adds. MIN and MAX compare by key order, and the first of equals wins.
use crate::bytes::{self, int_of, put_int};
use crate::run_writer::RunWriter;
use crate::trouble::Trouble;
use crate::value_order::order_of;
use std::mem;

const PENDING_BYTES: usize = 64 << 10; // values of one key that are written as one entry

/// What is done to the values of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Keep,
    Sum,
    Min,
    Max,
}

impl Mode {
    /// The mode of a built-in: "sum", "count", "min", "max" or "identity".
    pub fn named(name: Option<&str>) -> Option<Mode> {
        match name {
            None | Some("identity") => Some(Mode::Keep),
            Some("sum" | "count") => Some(Mode::Sum),
            Some("min") => Some(Mode::Min),
            Some("max") => Some(Mode::Max),
            Some(_) => None,
        }
    }
}

/// Combines the values of one group after another.
pub struct Group {
    mode: Mode,
    total: Option<i128>,
    best: Option<(Vec<u8>, Vec<u8>)>, // its key, and itself
    key: Vec<u8>,
    pub passed: Vec<u8>, // what cannot be combined, back to back
    pub count: u64,      // of values in `passed`
    written: u64,        // by `put`, of the group that is open
}

impl Group {
    pub fn new(mode: Mode) -> Self {
        Group {
            mode,
            total: None,
            best: None,
            key: Vec::new(),
            passed: Vec::new(),
            count: 0,
            written: 0,
        }
    }

    /// Take `count` values of the group that `out` has open, back to back, and write what cannot be
    /// combined in pieces, so that no group has to fit in memory. None if a value does not end.
    pub fn put(
        &mut self,
        count: u64,
        values: &[u8],
        out: &mut RunWriter,
    ) -> Result<Option<()>, Trouble> {
        if self.mode != Mode::Keep {
            let taken = self.add(values);
            if self.passed.len() > PENDING_BYTES {
                self.write(out)?;
            }
            return Ok(taken);
        }
        if self.passed.len() + values.len() > PENDING_BYTES {
            self.write(out)?;
        }
        if values.len() > PENDING_BYTES {
            out.add_values(count, values)?;
            self.written += count;
        } else {
            self.passed.extend_from_slice(values);
            self.count += count;
        }
        Ok(Some(()))
    }

    /// Write what is left of the group, and return how many values were written of it.
    pub fn end(&mut self, out: &mut RunWriter) -> Result<u64, Trouble> {
        self.close();
        self.write(out)?;
        Ok(mem::take(&mut self.written))
    }

    fn write(&mut self, out: &mut RunWriter) -> Result<(), Trouble> {
        out.add_values(self.count, &self.passed)?;
        self.written += self.count;
        self.clear();
        Ok(())
    }

    /// Take some encoded values, back to back; None if one does not end.
    #[inline]
    pub fn add(&mut self, values: &[u8]) -> Option<()> {
        let mut position = 0;
        while position < values.len() {
            let end = bytes::end(values, position)?;
            let value = &values[position..end];
            match self.mode {
                Mode::Sum => self.add_number(value),
                Mode::Keep => self.pass(value),
                Mode::Min | Mode::Max => self.compare(value),
            }
            position = end;
        }
        Some(())
    }

    /// Put what was combined behind what was passed on: the values that are left of the group.
    #[inline]
    pub fn close(&mut self) {
        if let Some(total) = self.total.take() {
            put_int(&mut self.passed, total);
            self.count += 1;
        }
        if let Some((_, value)) = self.best.take() {
            self.pass(&value);
        }
    }

    /// Forget what was passed on.
    #[inline]
    pub fn clear(&mut self) {
        self.passed.clear();
        self.count = 0;
    }

    fn pass(&mut self, value: &[u8]) {
        self.passed.extend_from_slice(value);
        self.count += 1;
    }

    #[inline]
    fn add_number(&mut self, value: &[u8]) {
        let Some(number) = int_of(value) else {
            return self.pass(value);
        };
        match self.total.unwrap_or(0).checked_add(number) {
            Some(total) => self.total = Some(total),
            None => self.pass(value),
        }
    }

    fn compare(&mut self, value: &[u8]) {
        self.key.clear();
        if order_of(value, &mut self.key).is_none() {
            return self.pass(value);
        }
        let better = match &self.best {
            None => true,
            Some((key, _)) if self.mode == Mode::Min => self.key < *key,
            Some((key, _)) => self.key > *key,
        };
        if better {
            self.best = Some((mem::take(&mut self.key), value.to_vec()));
        }
    }
}
