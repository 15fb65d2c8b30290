//! The buffer of a map attempt as Python sees it: `emit`, and what happens when it is full.
//!
//! It belongs to the thread that made it, and is closed to all while it spills, so the records
//! behind it need no lock. Laws of this file, which `unsafe` rests on:
//! - the records are borrowed only by the owner thread, and only while no code of the user can
//!   run: pickling, normalizing and the partitioner are done with before;
//! - while the GIL is released, or a combiner of the user runs, nobody owns the buffer.
use crate::combiner::{Combine, Combining};
use crate::emit::{Last, key_of};
use crate::keys;
use crate::owner::Owner;
use crate::quick::Quick;
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
use std::cell::UnsafeCell;

const SCRATCH_BYTES_MAX: usize = 1 << 20; // kept from one record to the next
const SHORT_BYTES: usize = 15; // no short key and no int of 64 bits is larger

/// Buffers records, and writes them as sorted runs.
#[pyclass(frozen, subclass, module = "pymr._native")]
pub struct RecordBuffer {
    owner: Owner,
    inner: UnsafeCell<Inner>,
    settings: Settings,
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
        if boundaries
            .as_ref()
            .is_some_and(|list| list.len() >= partitions)
        {
            return Err(PyValueError::new_err("as many boundaries as partitions"));
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
            boundaries.map(Ranges),
        );
        Ok(RecordBuffer {
            owner: Owner::here(),
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
        if slf.get().take(key, value)? {
            slf.call_method0("_make_room")?;
        }
        Ok(())
    }

    /// The records that were emitted.
    #[getter]
    fn emitted(&self) -> PyResult<u64> {
        self.enter(|inner| Ok(inner.emitted + inner.records.emitted))
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

    /// Take no more records; it may be called twice.
    fn close(&self) {
        self.owner.leave();
    }

    /// Raise if another thread has emitted: whoever hid its error would lose records.
    fn check(&self) -> PyResult<()> {
        self.owner.check()
    }
}

impl RecordBuffer {
    /// Take one record of a kind that comes most often, and of which nothing grows that matters;
    /// false: it was not taken.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held.
    #[inline(always)]
    pub unsafe fn emit_known(&self, key: *mut ffi::PyObject, value: *mut ffi::PyObject) -> bool {
        let settings = &self.settings;
        if !self.owner.is_here() || !settings.is_plain {
            return false;
        }
        let value = settings.one.as_ref().map_or(value, pyo3::Py::as_ptr);
        // SAFETY: we are the owner, and no code of the user runs: all types are exact.
        let inner = unsafe { &mut *self.inner.get() };
        // SAFETY: they are objects, as the caller says.
        unsafe {
            if !inner.last.take(value) {
                return false;
            }
            let Some(Key::Short(block)) = key_of(key) else {
                return false;
            };
            let (value, encoded) = (inner.last.value, inner.last.encoded);
            inner.records.add_known(block, value, encoded)
        }
    }

    /// Take one record; true if the buffer is full now.
    #[inline]
    fn take(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        if !self.owner.is_here() {
            return Err(self.owner.misuse());
        }
        let (py, settings) = (key.py(), &self.settings);
        let value = settings.one.as_ref().map_or(value, |one| one.bind(py));
        if settings.is_plain {
            // SAFETY: we are the owner, and no code of the user runs: all types are exact. They
            // are objects, and `Bound` holds the GIL.
            let taken = unsafe {
                let inner = &mut *self.inner.get();
                inner.take_quick(key.as_ptr(), value.as_ptr(), settings)
            };
            if let Some(full) = taken.map_err(|trouble| trouble.into_py(py))? {
                return Ok(full);
            }
        }
        self.emit_any(key, value)
    }

    /// Any key and value: encoded first, which may run code of the user, which may emit.
    #[inline(never)]
    fn emit_any(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, settings) = (key.py(), &self.settings);
        let mut data = self.enter(|inner| Ok(std::mem::take(&mut inner.scratch)))?;
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
        self.enter(|inner| {
            let (value, key) = data.split_at(value_size);
            let key = Key::new(key[0], &key[1..]);
            let added = inner.records.add(key, value, partition);
            added.map_err(|trouble| trouble.into_py(py))?;
            let full = inner.records.is_full();
            if data.capacity() <= SCRATCH_BYTES_MAX {
                inner.scratch = data;
            }
            Ok(full)
        })
    }

    /// Run `action` with what the owner may change; it runs no code of the user.
    fn enter<T>(&self, action: impl FnOnce(&mut Inner) -> PyResult<T>) -> PyResult<T> {
        if !self.owner.is_here() {
            return Err(self.owner.misuse());
        }
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
        self.owner.check()?;
        self.enter(|_| Ok(()))?;
        let away = self.owner.away();
        // SAFETY: nobody owns the buffer until `away` is dropped.
        let inner = unsafe { &mut *self.inner.get() };
        let (records, settings) = (&mut inner.records, &self.settings);
        let written = settings
            .combine
            .run(py, |combining| write(settings, records, combining));
        let (result, combined) = written.map_err(|trouble| trouble.into_py(py))?;
        inner.emitted += inner.records.emitted;
        inner.combined.values_in += combined.values_in;
        inner.combined.values_out += combined.values_out;
        inner.records.clear();
        drop(away);
        Ok(result)
    }
}

impl Inner {
    /// Take a record of exact types; None if it is not one. Returns whether the buffer is full.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held.
    #[inline]
    unsafe fn take_quick(
        &mut self,
        key: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        settings: &Settings,
    ) -> Result<Option<bool>, Trouble> {
        let data = &mut self.scratch;
        data.clear();
        // SAFETY: as the caller says.
        unsafe {
            let is_int = self.last.take(value);
            if !is_int
                && Quick::new(data, settings.value_bytes_max)
                    .value(value)
                    .is_none()
            {
                return Ok(None);
            }
            let value_size = data.len();
            let key = match key_of(key) {
                Some(key) => key,
                None => {
                    let mut quick = Quick::new(data, settings.key_bytes_max);
                    if quick.tuple_key(key).is_none() {
                        return Ok(None);
                    }
                    Key::new(data[value_size], &data[value_size + 1..])
                }
            };
            if key.len() > settings.key_bytes_max {
                return Ok(None);
            }
            if is_int {
                self.records
                    .add_int(key, self.last.value, self.last.encoded)?;
            } else {
                self.records.add(key, &data[..value_size], None)?;
            }
        }
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        Ok(Some(self.records.is_full()))
    }
}
