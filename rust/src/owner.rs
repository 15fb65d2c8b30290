//! Who may change a buffer: the thread that made it, and nobody while it is written.
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub const NOBODY: usize = 0; // no thread has this ident

/// The thread that owns a buffer.
pub struct Owner {
    now: AtomicUsize,
    home: usize,         // the thread that made the buffer
    misused: AtomicBool, // another thread has emitted
}

impl Owner {
    /// The calling thread.
    pub fn here() -> Self {
        Owner {
            now: AtomicUsize::new(thread()),
            home: thread(),
            misused: AtomicBool::new(false),
        }
    }

    /// Whether the calling thread owns the buffer.
    #[inline(always)]
    pub fn is_here(&self) -> bool {
        self.now.load(Ordering::Relaxed) == thread()
    }

    /// Own the buffer no more; it may be called twice.
    pub fn leave(&self) {
        if self.is_here() {
            self.now.store(NOBODY, Ordering::Release);
        }
    }

    /// Own the buffer no more until what is returned is dropped.
    pub fn away(&self) -> Away<'_> {
        Away(self, self.now.swap(NOBODY, Ordering::AcqRel))
    }

    /// Raise if another thread has emitted: whoever hid its error would lose records.
    pub fn check(&self) -> PyResult<()> {
        if self.misused.load(Ordering::Relaxed) {
            return Err(other_thread());
        }
        Ok(())
    }

    /// The error of a call while the calling thread does not own the buffer.
    #[cold]
    pub fn misuse(&self) -> PyErr {
        if thread() != self.home {
            self.misused.store(true, Ordering::Relaxed);
        }
        if self.now.load(Ordering::Relaxed) == NOBODY {
            return PyRuntimeError::new_err(
                "emit was called while the buffer combines, spills or is finished, expected calls \
                 from the mapper only",
            );
        }
        other_thread()
    }
}

fn other_thread() -> PyErr {
    PyRuntimeError::new_err(
        "emit was called by another thread than the one that runs the mapper, expected all calls \
         from that one",
    )
}

/// Gives the buffer back to its owner, unless a bug of ours left it without its records.
pub struct Away<'a>(&'a Owner, usize);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.now.store(self.1, Ordering::Release);
        }
    }
}

/// The ident of the current thread, as `threading.get_ident` has it.
#[inline(always)]
pub fn thread() -> usize {
    // SAFETY: it has no conditions.
    unsafe { libc::pthread_self() as usize }
}
