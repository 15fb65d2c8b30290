//! The buffer of a map attempt as Python sees it: `emit`, and what happens when it is full.
//!
//! It belongs to the thread that made it, and is closed to all while it spills, so the records
//! behind it need no lock. Laws of this file, which `unsafe` rests on:
//! - the records are borrowed only by the owner thread, and only while no code of the user can
//!   run: keys are encoded, and pickling, normalizing and the partitioner are done with before;
//! - while the GIL is released, or a combiner of the user runs, nobody is the owner.
mod take;

use crate::combiner::{Combine, Combining};
use crate::emit::{Last, key_of};
use crate::keys;
use crate::owner::Owner;
use crate::ranges::Ranges;
use crate::record_groups::{self, Combined};
use crate::records::{BYTES_MAX, Records};
use crate::run::{Run, Sealed, sealed, spill};
use crate::run_writer::RunWriter;
use crate::sink::CallSink;
use crate::sort_word::PARTITIONS_MAX;
use crate::table::Key;
use crate::trouble::Trouble;
use crate::value_encode;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::cell::UnsafeCell;

const LARGE_BYTES: usize = 1 << 20; // of a record for which others make room
const SHORT_BYTES: usize = 15; // no short key and no int of 64 bits is larger

/// Buffers records, and writes them as sorted runs.
#[pyclass(frozen, subclass, module = "pymr._native")]
pub struct RecordBuffer {
    owner: Owner,
    inner: UnsafeCell<Inner>,
    settings: Settings,
}

/// What became of a record.
pub enum Known {
    Taken,
    /// It is another kind of record: it was not taken.
    Other,
    /// It was taken, but one before it is unsettled.
    Unsettled,
}

/// What does not change.
struct Settings {
    key_bytes_max: usize,
    value_bytes_max: usize,
    block_bytes: usize,
    folder: String,
    combine: Combine,
    partition_of: Option<Py<PyAny>>,
    normalized: Option<Py<PyAny>>,
    one: Option<Py<PyAny>>, // the value of every record, where they are only counted
    is_plain: bool,         // a short key and value are within the limits, and taken as they are
}

/// What the owner changes.
struct Inner {
    records: Records,
    last: Last,
    scratch: Vec<u8>,
    emitted: u64,
    combined: Combined,
}

impl Inner {
    /// Take all records that wait.
    #[inline]
    fn settle(&mut self, py: Python<'_>) -> PyResult<()> {
        self.records.settle().map_err(|trouble| trouble.into_py(py))
    }
}

// SAFETY: `inner` is reached by the owner thread alone, see the laws above.
unsafe impl Sync for RecordBuffer {}
// SAFETY: the object that `last` holds is released with the GIL held, as Python objects are.
unsafe impl Send for RecordBuffer {}

#[pymethods]
impl RecordBuffer {
    #[new]
    #[pyo3(signature = (*, partitions, spill_bytes_max, block_bytes, key_bytes_max,
        value_bytes_max, spill_folder, combine, partition_of, normalized, count_only, partition_seed=0,
        boundaries=None))]
    #[allow(clippy::too_many_arguments)] // Keyword-only: each is a part of the job.
    fn new(
        py: Python<'_>,
        partitions: usize,
        spill_bytes_max: usize,
        block_bytes: usize,
        key_bytes_max: usize,
        value_bytes_max: usize,
        spill_folder: String,
        combine: Combine,
        partition_of: Option<Py<PyAny>>,
        normalized: Option<Py<PyAny>>,
        count_only: bool,
        partition_seed: u64,
        boundaries: Option<Vec<Vec<u8>>>,
    ) -> PyResult<Self> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(PyValueError::new_err(format!(
                "{partitions} partitions, expected 1 to {PARTITIONS_MAX}"
            )));
        }
        if key_bytes_max.saturating_add(value_bytes_max) > BYTES_MAX {
            return Err(PyValueError::new_err(format!(
                "a record may have {key_bytes_max} + {value_bytes_max} bytes, expected at most \
                 {BYTES_MAX}"
            )));
        }
        let one = count_only.then(|| 1i64.into_pyobject(py)).transpose()?;
        let records = Records::new(
            combine.mode(),
            partitions as u32,
            spill_bytes_max,
            partition_seed,
            Ranges::of(boundaries, partitions)?,
        );
        Ok(RecordBuffer {
            owner: Owner::new(),
            inner: UnsafeCell::new(Inner {
                records,
                last: Last::default(),
                scratch: Vec::new(),
                emitted: 0,
                combined: Combined::default(),
            }),
            settings: Settings {
                is_plain: partition_of.is_none()
                    && normalized.is_none()
                    && key_bytes_max >= SHORT_BYTES
                    && value_bytes_max >= SHORT_BYTES,
                key_bytes_max,
                value_bytes_max,
                block_bytes,
                folder: spill_folder,
                combine,
                partition_of,
                normalized,
                one: one.map(|one| one.into_any().unbind()),
            },
        })
    }

    /// Take one record; spill if the buffer is full then.
    pub fn emit(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if Self::take(slf, key, value)? {
            slf.call_method0("_make_room")?;
        }
        Ok(())
    }

    /// The records that were emitted.
    #[getter]
    fn emitted(&self, py: Python<'_>) -> PyResult<u64> {
        self.enter(|inner| {
            inner.settle(py)?;
            Ok(inner.emitted + inner.records.emitted)
        })
    }

    /// Values that went into the combiner, and came out, when records were written.
    #[getter]
    fn combined(&self) -> PyResult<(u64, u64)> {
        self.enter(|inner| Ok((inner.combined.values_in, inner.combined.values_out)))
    }

    /// Write the records to a spill and return it; the buffer is empty afterwards.
    fn spill(&self, py: Python<'_>) -> PyResult<Run> {
        self.write_out(py, |settings, records, combining| {
            let partitions = records.partitions as usize;
            let (folder, block_bytes) = (&settings.folder, settings.block_bytes);
            spill(folder, partitions, block_bytes, combining, |out| {
                record_groups::write(records, out, combining)
            })
        })
    }

    /// Write the records as a whole run with `extra` in its footer; the buffer is empty then.
    fn write(&self, py: Python<'_>, write: Py<PyAny>, extra: &[u8]) -> PyResult<Sealed> {
        self.write_out(py, |settings, records, combining| {
            let partitions = records.partitions as usize;
            let out = RunWriter::new(CallSink { write }, partitions, settings.block_bytes, true)?;
            let (out, combined) = record_groups::write(records, Box::new(out), combining)?;
            Ok((sealed(&out.finish(extra)?), combined))
        })
    }

    /// Take no more records, and give the memory back; it may be called twice.
    fn close(&self) {
        if self.owner.is_here() {
            // SAFETY: we are the owner, see the laws above.
            unsafe { &mut *self.inner.get() }.records.release();
            self.owner.close();
        }
    }

    /// Raise if another thread has emitted: whoever hid its error would lose records.
    fn check(&self) -> PyResult<()> {
        self.owner.check_unshared()
    }

    /// A partitioner may be a closure of the worker file, whose module may keep its `ctx`.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let settings = &self.settings;
        visit.call(&settings.partition_of)?;
        visit.call(&settings.normalized)
    }
}

impl RecordBuffer {
    /// Take one record of a kind that comes most often, and of which nothing grows that matters.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held.
    #[inline(always)]
    pub unsafe fn emit_known(&self, key: *mut ffi::PyObject, value: *mut ffi::PyObject) -> Known {
        let settings = &self.settings;
        if !self.owner.is_here() || !settings.is_plain {
            return Known::Other;
        }
        let value = settings.one.as_ref().map_or(value, pyo3::Py::as_ptr);
        // SAFETY: it is an object, as the caller says. The key comes first, while nothing is
        // borrowed: see `take_quick`.
        let Some(Key::Short(block)) = (unsafe { key_of(key) }) else {
            return Known::Other;
        };
        // SAFETY: we are the owner, and no code of the user runs: the value is an exact int.
        let inner = unsafe { &mut *self.inner.get() };
        // SAFETY: it is an object, as the caller says.
        if inner.records.is_skipped || !unsafe { inner.last.take(value) } {
            return Known::Other;
        }
        if inner.records.pend(block, inner.last.value) {
            return Known::Taken;
        }
        Known::Unsettled
    }

    /// Take the record of which `emit_known` said that it is unsettled.
    pub fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let full = slf.get().enter(|inner| {
            let settled = inner.records.settle_first();
            settled.map_err(|trouble| trouble.into_py(slf.py()))?;
            Ok(inner.records.is_full())
        })?;
        if full {
            slf.call_method0("_make_room")?;
        }
        Ok(())
    }

    /// Take one record; true if the buffer is full now.
    #[inline]
    fn take(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let this = slf.get();
        let (py, settings) = (key.py(), &this.settings);
        this.enter(|inner| inner.settle(py))?;
        let value = settings.one.as_ref().map_or(value, |one| one.bind(py));
        if settings.is_plain {
            // SAFETY: we are the owner; they are objects, and `Bound` holds the GIL.
            let taken = unsafe { this.take_quick(key.as_ptr(), value.as_ptr()) };
            if let Some(full) = taken.map_err(|trouble| trouble.into_py(py))? {
                return Ok(full);
            }
        }
        Self::emit_any(slf, key, value)
    }

    /// Any key and value: encoded first, which may run code of the user, which may emit.
    #[inline(never)]
    fn emit_any(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let this = slf.get();
        let (py, settings) = (key.py(), &this.settings);
        let mut data = this.enter(|inner| Ok(std::mem::take(&mut inner.scratch)))?;
        data.clear();
        value_encode::encode(value, &mut data, settings.value_bytes_max)?;
        let value_size = data.len();
        let normal = match &settings.normalized {
            Some(normalized) => normalized.bind(py).call1((key,))?,
            None => key.clone(),
        };
        keys::encode(&normal, &mut data, settings.key_bytes_max)?;
        let partition = match &settings.partition_of {
            Some(partition_of) => Some(partition_of.bind(py).call1((normal,))?.extract()?),
            None => None,
        };
        if data.len() > LARGE_BYTES
            && this.enter(|inner| Ok(inner.records.is_small_for(data.len())))?
        {
            slf.call_method0("_make_room")?; // or both were in memory
        }
        this.enter(|inner| {
            inner.settle(py)?; // Encoding may have run code of the user that emitted.
            let (value, key) = data.split_at(value_size);
            let key = Key::new(key[0], &key[1..]);
            let added = inner.records.add(key, value, partition);
            added.map_err(|trouble| trouble.into_py(py))?;
            let full = inner.records.is_full();
            if data.capacity() <= LARGE_BYTES {
                inner.scratch = data;
            }
            Ok(full)
        })
    }

    /// Run `action` with what the owner may change; it runs no code of the user.
    fn enter<T>(&self, action: impl FnOnce(&mut Inner) -> PyResult<T>) -> PyResult<T> {
        self.owner.check()?;
        // SAFETY: we are the owner, see the laws above.
        action(unsafe { &mut *self.inner.get() })
    }

    /// Write the records with the buffer closed, and the GIL released but for calls of Python.
    fn write_out<T: Send>(
        &self,
        py: Python<'_>,
        write: impl FnOnce(&Settings, &mut Records, Combining<'_>) -> Result<(T, Combined), Trouble>
        + Send,
    ) -> PyResult<T> {
        let reopened = self.owner.leave()?;
        // SAFETY: nobody owns the buffer until `reopened` is dropped.
        let inner = unsafe { &mut *self.inner.get() };
        inner.settle(py)?;
        let (records, settings) = (&mut inner.records, &self.settings);
        let written = settings
            .combine
            .run(py, |combining| write(settings, records, combining));
        let (result, combined) = written.map_err(|trouble| trouble.into_py(py))?;
        inner.emitted += inner.records.emitted;
        inner.combined.values_in += combined.values_in;
        inner.combined.values_out += combined.values_out;
        inner.records.clear();
        drop(reopened);
        Ok(result)
    }
}
