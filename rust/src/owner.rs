//! The thread that a buffer belongs to, while it is open.
//!
//! Who is the owner may use what the buffer holds without a lock: nobody else is, until it closes.
use crate::process::thread;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub const NOBODY: usize = 0; // no thread has this ident

pub struct Owner {
    current: AtomicUsize,
    home: usize,         // the thread that made it
    misused: AtomicBool, // another thread has emitted
}

impl Owner {
    /// The current thread.
    pub fn new() -> Self {
        Owner {
            current: AtomicUsize::new(thread()),
            home: thread(),
            misused: AtomicBool::new(false),
        }
    }

    /// Whether the current thread is the owner.
    #[inline(always)]
    pub fn is_here(&self) -> bool {
        self.current.load(Ordering::Relaxed) == thread()
    }

    /// Fail unless the current thread is the owner.
    #[inline(always)]
    pub fn check(&self) -> PyResult<()> {
        if self.is_here() {
            return Ok(());
        }
        Err(self.misuse())
    }

    /// Be nobody's from now on, if the current thread is the owner.
    pub fn close(&self) {
        if self.is_here() {
            self.current.store(NOBODY, Ordering::Release);
        }
    }

    /// Fail if another thread has emitted: whoever hid its error would lose records.
    pub fn check_unshared(&self) -> PyResult<()> {
        if self.misused.load(Ordering::Relaxed) {
            return Err(other_thread());
        }
        Ok(())
    }

    /// Be nobody's until what is returned is dropped. Fails also if another thread has emitted.
    pub fn leave(&self) -> PyResult<Away<'_>> {
        self.check_unshared()?;
        self.check()?;
        Ok(Away(self, self.current.swap(NOBODY, Ordering::AcqRel)))
    }

    #[cold]
    fn misuse(&self) -> PyErr {
        if thread() != self.home {
            self.misused.store(true, Ordering::Relaxed);
        }
        if self.current.load(Ordering::Relaxed) == NOBODY {
            return PyRuntimeError::new_err(
                "emit was called while the buffer combines, spills or is finished, expected calls \
                 from the mapper only",
            );
        }
        other_thread()
    }
}

/// Gives the buffer back to its owner, unless a bug of ours ended what was done meanwhile.
pub struct Away<'a>(&'a Owner, usize);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.current.store(self.1, Ordering::Release); // else records may be missing
        }
    }
}

fn other_thread() -> PyErr {
    PyRuntimeError::new_err(
        "emit was called by another thread than the one that runs the mapper, expected all calls \
         from that one",
    )
}
