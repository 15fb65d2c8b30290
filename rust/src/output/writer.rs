//! `RowWriter`: the `emit` of a reducer, and of a mapper without one.
//!
//! Where Python code may run (`row`, `drain`, the garbage collector) the rows are in their slot
//! and not borrowed, so that it may emit too; a row that comes in while a block is written waits
//! for the next block, whichever thread it comes from.
use super::cell::Format;
use super::object;
use super::{Pushed, Rows};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::Cell as Slot;
use std::collections::TryReserveError;

/// Turns pairs into rows.
#[pyclass(frozen, module = "pymr._native")]
pub struct RowWriter {
    slot: RowSlot,
    make_row: Py<PyAny>,
    write: Py<PyAny>,
}

/// The rows, unless somebody has taken them, and whether a block is being written.
struct RowSlot {
    rows: Slot<Option<Box<Rows>>>,
    draining: Slot<bool>,
}

// SAFETY: the slots are used by methods of `RowWriter` alone, which hold a token of the GIL, each
// time for one move in or out that runs no Python code. (`build.rs` refuses a Python without the
// GIL.)
unsafe impl Sync for RowSlot {}

type Columns = (u64, Vec<String>, Vec<String>);

#[pymethods]
impl RowWriter {
    /// `make_row(key, value)` gives the bytes of a row that is not plain; `write` is given
    /// blocks of rows, in order.
    #[new]
    fn new(output_format: &str, make_row: Py<PyAny>, write: Py<PyAny>) -> PyResult<Self> {
        let format = match output_format {
            "tsv" => Format::Tsv,
            "jsonl" => Format::Jsonl,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "output format `{output_format}`, expected `tsv` or `jsonl`"
                )));
            }
        };
        Ok(RowWriter {
            slot: RowSlot {
                rows: Slot::new(Some(Box::new(Rows::new(format)))),
                draining: Slot::new(false),
            },
            make_row,
            write,
        })
    }

    /// Append one row; write a block if it is time.
    #[pyo3(name = "emit")]
    fn emit_from_python(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.emit(key, value)
    }

    /// Append a row of an encoded key and value; False: they are not plain, nothing was done.
    #[pyo3(signature = (key, value, /))]
    fn emit_encoded(&self, py: Python<'_>, key: &[u8], value: &[u8]) -> PyResult<bool> {
        let mut rows = self.take(py)?;
        let pushed = rows.push_encoded_value(key, value);
        self.put(py, rows);
        let pushed = pushed.map_err(|error| out_of_memory(&error))?;
        self.drain_if_full(py)?;
        Ok(pushed == Pushed::Row)
    }

    /// Write what is left; return the number of rows and the types of the plain cells. No row is
    /// taken afterwards: it would be missing in the part, or in the number.
    fn finish(&self, py: Python<'_>) -> PyResult<Columns> {
        self.drain(py)?;
        let rows = self.take(py)?;
        let columns = (rows.records, rows.keys.names(), rows.values.names());
        if self.slot.draining.get() || !rows.out.is_empty() {
            self.put(py, rows);
            return Err(PyRuntimeError::new_err(
                "rows were emitted while the part was finished: a thread still emits, expected \
                 that it was joined",
            ));
        }
        Ok(columns)
    }
}

impl RowWriter {
    /// Take the rows, to push to them without Python; `put` them back.
    #[inline]
    pub fn take(&self, _py: Python<'_>) -> PyResult<Box<Rows>> {
        self.slot.rows.take().ok_or_else(in_use)
    }

    /// Put the rows back.
    #[inline]
    pub fn put(&self, _py: Python<'_>, rows: Box<Rows>) {
        self.slot.rows.set(Some(rows));
    }

    /// Append one row, of any cells; write a block if it is time.
    #[inline]
    pub fn emit(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        let pushed = match (object::scalar(key), object::scalar(value)) {
            (Some(key), Some(value)) => {
                let mut rows = self.take(py)?;
                let pushed = rows.push(&key, &value);
                let is_full = rows.is_full();
                self.put(py, rows);
                if !is_full && matches!(pushed, Ok(Pushed::Row)) {
                    return Ok(());
                }
                pushed
            }
            _ => self.emit_tuples(key, value)?,
        };
        if pushed.map_err(|error| out_of_memory(&error))? == Pushed::NotPlain {
            self.emit_made(key, value)?;
        }
        self.drain_if_full(py)
    }

    #[inline(never)]
    fn emit_tuples(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Result<Pushed, TryReserveError>> {
        let py = key.py();
        object::with_cell(key, |key| {
            object::with_cell(value, |value| {
                let mut rows = self.take(py)?;
                let pushed = rows.push(key, value);
                self.put(py, rows);
                Ok(pushed)
            })
        })
        .flatten()
        .unwrap_or(Ok(Ok(Pushed::NotPlain)))
    }

    #[cold]
    fn emit_made(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        let row = self.make_row.bind(py).call1((key, value))?;
        let mut rows = self.take(py)?;
        let pushed = rows.push_made(row.cast::<PyBytes>()?.as_bytes());
        self.put(py, rows);
        pushed.map_err(|error| out_of_memory(&error))
    }

    /// Write the rows that there are if they are a block.
    #[cold]
    pub fn drain_if_full(&self, py: Python<'_>) -> PyResult<()> {
        let rows = self.take(py)?;
        let is_full = rows.is_full();
        self.put(py, rows);
        if is_full { self.drain(py) } else { Ok(()) }
    }

    /// Write the rows that there are, unless somebody is writing.
    #[cold]
    pub fn drain(&self, py: Python<'_>) -> PyResult<()> {
        if self.slot.draining.replace(true) {
            return Ok(()); // Whoever is writing looks again when done.
        }
        let written = self.drain_blocks(py);
        self.slot.draining.set(false);
        written
    }

    fn drain_blocks(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let mut rows = self.take(py)?;
            let block = rows.take_block(py);
            self.put(py, rows);
            let Some(block) = block? else { return Ok(()) };
            self.write.bind(py).call1((block,))?;
            let Some(rows) = self.slot.rows.take() else {
                return Ok(()); // A native reduction has them, and drains.
            };
            let is_full = rows.is_full();
            self.put(py, rows);
            if !is_full {
                return Ok(());
            }
        }
    }
}

fn in_use() -> PyErr {
    PyRuntimeError::new_err(
        "emit was called when the part was finished or taken, expected calls within the mapper or \
         reducer only",
    )
}

fn out_of_memory(error: &TryReserveError) -> PyErr {
    PyMemoryError::new_err(format!("no memory for a row of output: {error}"))
}
