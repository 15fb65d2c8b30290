//! Output rows: pairs to the bytes of a part, natively where the cells are plain.
//!
//! The bytes are those of `pymr/records/tsv.py` and `jsonl.py`, which are the oracle. A cell is
//! plain if it is None, a bool, an int, a float, text that is UTF-8, bytes, or a tuple of at most
//! `TUPLE_MAX` of them; what is not plain (`push` says so) goes through those modules instead.
//!
//! Native reductions, which have no Python objects, take the [`Rows`] out of a [`RowWriter`], push,
//! and put them back: until then `emit` raises.
mod cell;
mod encoded;
mod float;
mod object;
mod seen;
mod writer;

pub use cell::Cell;
pub use writer::RowWriter;

use crate::object::bytes_from;
use cell::Format;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use seen::Seen;
use std::collections::TryReserveError;

const TUPLE_MAX: usize = 8; // cells of a plain tuple
const FULL: usize = 256 << 10; // 256 KiB a write: a system call is then a few percent of the rows

/// Whether a row was written.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// It was.
    Row,
    /// A cell is not plain: nothing was written, and the row must be made by Python.
    NotPlain,
}

/// Rows that were not drained yet, and what is known of all rows so far. No Python inside.
pub struct Rows {
    out: Vec<u8>,
    records: u64,
    keys: Seen,
    values: Seen,
    format: Format,
}

impl Rows {
    fn new(format: Format) -> Self {
        Rows {
            out: Vec::new(),
            records: 0,
            keys: Seen::default(),
            values: Seen::default(),
            format,
        }
    }

    /// Tell whether it is time to drain.
    pub fn is_full(&self) -> bool {
        self.out.len() >= FULL
    }

    /// Append one row. Nothing was appended if it was not plain, or memory ran out.
    pub fn push(&mut self, key: &Cell, value: &Cell) -> Result<Pushed, TryReserveError> {
        if !self.keys.add(key) || !self.values.add(value) {
            return Ok(Pushed::NotPlain);
        }
        let length = self.out.len();
        if let Err(error) = self.put_row(key, value) {
            self.out.truncate(length);
            return Err(error);
        }
        self.records += 1;
        Ok(Pushed::Row)
    }

    /// As `push`, of a key as `keys::encode` gives it.
    pub fn push_encoded(&mut self, key: &[u8], value: &Cell) -> Result<Pushed, TryReserveError> {
        encoded::with_key(key, |key| self.push(key, value)).unwrap_or(Ok(Pushed::NotPlain))
    }

    /// As `push_encoded`, of a value as the value codec gives it.
    pub fn push_encoded_value(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Result<Pushed, TryReserveError> {
        match encoded::value(value) {
            Some(value) => self.push_encoded(key, &value),
            None => Ok(Pushed::NotPlain),
        }
    }

    /// Return the rows that there are and forget them, unless there is no memory for that.
    fn take_block<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        if self.out.is_empty() {
            return Ok(None);
        }
        let block = bytes_from(py, &self.out)?; // A bytes object is not the collector's.
        self.out.clear();
        self.out.shrink_to(2 * FULL);
        Ok(Some(block))
    }

    /// Append a row that Python made.
    fn push_made(&mut self, row: &[u8]) -> Result<(), TryReserveError> {
        self.out.try_reserve(row.len())?;
        self.out.extend_from_slice(row);
        self.records += 1;
        Ok(())
    }

    #[inline]
    fn put_row(&mut self, key: &Cell, value: &Cell) -> Result<(), TryReserveError> {
        let out = &mut self.out;
        match self.format {
            Format::Tsv => {
                key.put_tsv(out)?;
                cell::put(out, b"\t")?;
                value.put_tsv(out)?;
                cell::put(out, b"\n")
            }
            Format::Jsonl => {
                cell::put(out, b"{\"key\":")?;
                key.put_json(out, Format::Jsonl)?;
                cell::put(out, b",\"value\":")?;
                value.put_json(out, Format::Jsonl)?;
                cell::put(out, b"}\n")
            }
        }
    }
}

/// Make cells of what need not be an encoded key and value, as the writer of rows does.
#[cfg(test)]
pub fn fuzz_cells(key: &[u8], value: &[u8]) {
    for format in [Format::Tsv, Format::Jsonl] {
        let pushed = Rows::new(format).push_encoded_value(key, value);
        pushed.map(drop).expect("there is memory");
    }
}
