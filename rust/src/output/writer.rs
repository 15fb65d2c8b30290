//! `RowWriter`: the `emit` of a reducer, and of a mapper without one.
//!
//! Where Python code may run (`row`, `drain`, the garbage collector) the rows are in their slot
//! and not borrowed, so that it may emit too; a row that comes in while a block is written waits
//! for the next block, whichever thread it comes from.
use super::cell::Format;
use super::object;
use super::{FULL, Pushed, Rows};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PySystemError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple, PyType};
use std::cell::Cell as Slot;
use std::collections::TryReserveError;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
// time for one move in or out that runs no Python code. (A build without the GIL cannot load
// this library: abi3.)
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

    /// Write what is left; return the number of rows and the types of the plain cells.
    fn finish(&self, py: Python<'_>) -> PyResult<Columns> {
        self.drain(py)?;
        let rows = self.take(py)?;
        let columns = (rows.records, rows.keys.names(), rows.values.names());
        let is_left = self.slot.draining.get() || !rows.out.is_empty();
        self.put(py, rows);
        if is_left {
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
            let mut out = std::mem::take(&mut rows.out);
            self.put(py, rows);
            if out.is_empty() {
                return Ok(());
            }
            self.write_block(py, &out)?;
            let Some(mut rows) = self.slot.rows.take() else {
                return Ok(()); // A native reduction has them, and drains.
            };
            if rows.out.capacity() == 0 && out.capacity() <= 2 * FULL {
                out.clear();
                rows.out = out;
            }
            let is_full = rows.is_full();
            self.put(py, rows);
            if !is_full {
                return Ok(());
            }
        }
    }

    fn write_block(&self, py: Python<'_>, out: &[u8]) -> PyResult<()> {
        let block = PyBytes::new_with(py, out.len(), |block| {
            block.copy_from_slice(out);
            Ok(())
        })?;
        self.write.bind(py).call1((block,)).map(drop)
    }
}

fn in_use() -> PyErr {
    PyRuntimeError::new_err("a native reduction is writing rows, expected no emit beside it")
}

fn out_of_memory(error: &TryReserveError) -> PyErr {
    PyMemoryError::new_err(format!("no memory for a row of output: {error}"))
}

/// Give the class its method `emit`: without the trampoline of `PyO3`, a call costs 20-30 ns less.
pub fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"emit".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: raw_emit,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"emit($self, key, value)\n--\n\nAppend one row.".as_ptr(),
    }));
    // SAFETY: the definition lives for ever, and `class` is a type.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(class.py(), method)?
    };
    class.setattr("emit", method)
}

unsafe extern "C" fn raw_emit(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // A panic must not cross into C.
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: CPython calls with the GIL held and `count` positional arguments followed by
        // one for each of `names` (a tuple or null), all live during the call; the method
        // descriptor has checked that `this` is a `RowWriter`.
        unsafe {
            let py = Python::assume_attached();
            let this = Bound::ref_from_ptr(py, &this).cast_unchecked::<RowWriter>();
            if count == 2 && names.is_null() {
                let key = Bound::ref_from_ptr(py, &*arguments);
                let value = Bound::ref_from_ptr(py, &*arguments.add(1));
                return this.get().emit(key, value);
            }
            let names = Bound::from_borrowed_ptr_or_opt(py, names);
            let names = names.map(|names| names.cast_into_unchecked::<PyTuple>());
            let total = count.unsigned_abs() + names.as_ref().map_or(0, PyTupleMethods::len);
            let arguments: Vec<_> = (0..total)
                .map(|index| Bound::ref_from_ptr(py, &*arguments.add(index)))
                .collect();
            emit_named(this.get(), &arguments, names)
        }
    }));
    // SAFETY: the GIL is held.
    let py = unsafe { Python::assume_attached() };
    let error = match result {
        Ok(Ok(())) => return py.None().into_ptr(),
        Ok(Err(error)) => error,
        Err(_) => PySystemError::new_err("a bug in pymr: panic in emit"),
    };
    error.restore(py);
    std::ptr::null_mut()
}

/// Emit where some of the arguments have names, or their number is wrong.
#[cold]
fn emit_named(
    writer: &RowWriter,
    arguments: &[&Bound<'_, PyAny>],
    names: Option<Bound<'_, PyTuple>>,
) -> PyResult<()> {
    let names = names.map_or(Ok(Vec::new()), |names| names.extract::<Vec<String>>())?;
    let unnamed = arguments.len() - names.len();
    let find = |name: &str, place: usize| match names.iter().position(|given| given == name) {
        Some(index) => Some(arguments[unnamed + index]),
        None => (place < unnamed).then(|| arguments[place]),
    };
    match (find("key", 0), find("value", 1)) {
        (Some(key), Some(value)) if arguments.len() == 2 => writer.emit(key, value),
        _ => Err(PyTypeError::new_err(
            "emit() takes a key and a value: emit(key, value)",
        )),
    }
}
