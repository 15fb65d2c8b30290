//! What a combiner emits while it is called: values of its own key, into the run that is written.
//!
//! Large results go on to the run at once, so a group that does not shrink needs no memory either.
//! The state is behind a lock, since threads of the user's may emit as well; no code of the user
//! runs under it. (The store of a run may be Python, and a signal handler may emit from there: the
//! thread that has the lock is refused, others wait.)
use crate::keys;
use crate::owner::NOBODY;
use crate::process::thread;
use crate::quick;
use crate::run_writer::RunWriter;
use crate::trouble::Trouble;
use crate::value_encode;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

const PENDING_BYTES: usize = 64 << 10; // values that are written as one entry

/// Takes what a combiner emits.
#[pyclass(frozen, module = "pymr._native")]
pub struct CombinerOutput {
    key_bytes_max: usize,
    value_bytes_max: usize,
    state: Mutex<State>,
    holder: AtomicUsize, // the thread that has the state
}

#[derive(Default)]
struct State {
    call: u64,                   // the number of the call
    out: Option<Box<RunWriter>>, // None: there is no call
    failed: Option<PyErr>,       // why the run cannot be written, whoever hid it
    partition: usize,
    key: Vec<u8>,
    object: Option<Py<PyAny>>, // the key as the function got it
    is_started: bool,          // the group stands in the run
    values: Vec<u8>,           // that do not stand in the run yet, back to back
    pending: u64,              // how many these are
    count: u64,                // values of the call
    scratch: Vec<u8>,
}

#[pymethods]
impl CombinerOutput {
    /// Take keys and values of at most so many encoded bytes.
    #[new]
    #[pyo3(signature = (*, key_bytes_max, value_bytes_max))]
    fn new(key_bytes_max: usize, value_bytes_max: usize) -> Self {
        CombinerOutput {
            key_bytes_max,
            value_bytes_max,
            state: Mutex::default(),
            holder: AtomicUsize::new(NOBODY),
        }
    }

    /// Take one pair, whose key is that of the group.
    pub fn emit(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        let mut state = self.enter(py)?;
        if state.out.is_none() {
            return Err(no_call());
        }
        let call = state.call;
        let is_own = state.object.as_ref().is_some_and(|own| own.is(key));
        // SAFETY: it is an object, and `Bound` holds the GIL.
        let is_quick = is_own
            && unsafe {
                let sizes_max = (self.value_bytes_max, 0);
                quick::append(&mut state.values, Some(value.as_ptr()), None, sizes_max).is_some()
            };
        if is_quick {
            return state.added(py);
        }
        let mut data = std::mem::take(&mut state.scratch);
        drop(state);
        data.clear();
        if !is_own {
            keys::encode(key, &mut data, self.key_bytes_max)?;
            self.check_own(key, &data)?;
            data.clear();
        }
        value_encode::encode(value, &mut data, self.value_bytes_max)?;
        let mut state = self.enter(py)?;
        if state.call != call || state.out.is_none() {
            return Err(no_call()); // Encoding ran code of the user, or another thread.
        }
        let room = state.values.try_reserve(data.len());
        room.map_err(|error| Trouble::from(error).into_py(py))?;
        state.values.extend_from_slice(&data);
        state.added(py)?;
        if data.capacity() < 1 << 20 {
            state.scratch = data;
        }
        Ok(())
    }
}

impl CombinerOutput {
    /// Begin a call for the group of `key`, which is `object`, in `partition` of `out`.
    pub fn open(
        &self,
        py: Python<'_>,
        out: Box<RunWriter>,
        partition: usize,
        key: &[u8],
        object: &Bound<'_, PyAny>,
    ) -> Result<(), Trouble> {
        let mut state = self.enter(py)?;
        state.key.clear();
        state.key.try_reserve(key.len())?;
        state.key.extend_from_slice(key);
        state.call += 1;
        state.out = Some(out);
        state.partition = partition;
        state.object = Some(object.clone().unbind());
        state.is_started = false;
        state.values.clear();
        (state.pending, state.count) = (0, 0);
        Ok(())
    }

    /// End the call: return the run, with all that was emitted, and how many values that is.
    pub fn close(&self, py: Python<'_>) -> Result<(Box<RunWriter>, u64), Trouble> {
        let mut state = self.enter(py)?;
        let flushed = state.flush();
        state.object = None;
        let out = state.out.take();
        if let Some(error) = state.failed.take() {
            return Err(Trouble::Raised(error));
        }
        flushed?;
        match out {
            Some(out) => Ok((out, state.count)),
            None => Err(Trouble::Raised(no_call())),
        }
    }

    /// Refuse a key that is not the key of the group.
    fn check_own(&self, key: &Bound<'_, PyAny>, encoded: &[u8]) -> PyResult<()> {
        let state = self.enter(key.py())?;
        if state.key == encoded {
            return Ok(());
        }
        let own = state.object.as_ref().map(|own| own.clone_ref(key.py()));
        drop(state);
        let Some(own) = own else {
            return Err(no_call());
        };
        Err(PyValueError::new_err(format!(
            "a combiner may emit its own key only: called with {}, emitted {}",
            shown(own.bind(key.py()))?,
            shown(key)?
        )))
    }

    fn enter(&self, py: Python<'_>) -> PyResult<Entered<'_>> {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::WouldBlock) if self.holder.load(Ordering::Relaxed) == thread() => {
                return Err(PyRuntimeError::new_err(
                    "emit was called while what was emitted before is written",
                ));
            }
            Err(_) => self
                .state
                .lock_py_attached(py)
                .unwrap_or_else(PoisonError::into_inner),
        };
        self.holder.store(thread(), Ordering::Relaxed);
        Ok(Entered {
            state,
            holder: &self.holder,
        })
    }
}

impl State {
    /// Count a value that was appended.
    #[inline]
    fn added(&mut self, py: Python<'_>) -> PyResult<()> {
        self.pending += 1;
        self.count += 1;
        if self.values.len() < PENDING_BYTES {
            return Ok(());
        }
        self.flush().map_err(|trouble| {
            let error = trouble.into_py(py);
            self.failed = Some(error.clone_ref(py));
            self.out = None;
            error
        })
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let Some(out) = self.out.as_mut().filter(|_| self.pending > 0) else {
            return Ok(());
        };
        if !self.is_started {
            out.start_group(self.partition, &self.key)?;
            self.is_started = true;
        }
        out.add_values(self.pending, &self.values)?;
        self.values.clear();
        self.pending = 0;
        Ok(())
    }
}

/// The state, and the thread that has it.
struct Entered<'a> {
    state: MutexGuard<'a, State>,
    holder: &'a AtomicUsize,
}

impl Deref for Entered<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.holder.store(NOBODY, Ordering::Relaxed);
    }
}

#[cold]
fn no_call() -> PyErr {
    PyRuntimeError::new_err(
        "emit was called while its combiner does not run, expected calls from within it only",
    )
}

fn shown(key: &Bound<'_, PyAny>) -> PyResult<String> {
    let values = key.py().import("pymr.shuffle.values")?;
    values.getattr("short_repr")?.call1((key,))?.extract()
}
