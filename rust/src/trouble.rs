//! What can go wrong where no Python runs, and the exception it becomes.
use pyo3::exceptions::{PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::io;

/// An error of the engine; `into_py` makes the exception that users see.
pub enum Trouble {
    /// A callback into Python raised.
    Raised(PyErr),
    /// A value was asked for and not given: its own code raised, or another was being decoded.
    Value(PyErr),
    /// A sorted run is not what was written.
    Corrupt {
        name: String,
        offset: u64,
        problem: String,
    },
    /// A spill cannot be written or read.
    Spill {
        action: &'static str,
        folder: String,
        error: io::Error,
    },
    /// The memory that was asked for is not there.
    Memory,
}

impl Trouble {
    /// The same trouble once more: an exception of its own, unless Python raised it.
    pub fn again(&self, py: Python<'_>) -> Self {
        match self {
            Trouble::Raised(error) => Trouble::Raised(error.clone_ref(py)),
            Trouble::Value(error) => Trouble::Value(error.clone_ref(py)),
            Trouble::Memory => Trouble::Memory,
            Trouble::Corrupt {
                name,
                offset,
                problem,
            } => Trouble::Corrupt {
                name: name.clone(),
                offset: *offset,
                problem: problem.clone(),
            },
            Trouble::Spill {
                action,
                folder,
                error,
            } => Trouble::Spill {
                action,
                folder: folder.clone(),
                error: match error.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => error.kind().into(),
                },
            },
        }
    }

    /// Return the exception.
    pub fn into_py(self, py: Python<'_>) -> PyErr {
        match self {
            Trouble::Raised(error) | Trouble::Value(error) => error,
            Trouble::Memory => PyMemoryError::new_err("no memory is left for the shuffle"),
            Trouble::Corrupt {
                name,
                offset,
                problem,
            } => corrupt(py, &name, offset, &problem).unwrap_or_else(|error| error),
            Trouble::Spill {
                action,
                folder,
                error,
            } => spill(py, action, &folder, &error).unwrap_or_else(|error| error),
        }
    }
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Self {
        Trouble::Raised(error)
    }
}

impl From<std::collections::TryReserveError> for Trouble {
    fn from(_: std::collections::TryReserveError) -> Self {
        Trouble::Memory
    }
}

fn corrupt(py: Python<'_>, name: &str, offset: u64, problem: &str) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    fields.set_item("path", name)?;
    fields.set_item("offset", offset)?;
    let message = format!("sorted run `{name}` is corrupt at byte {offset}: {problem}");
    let class = py.import("pymr.errors")?.getattr("CorruptDataError")?;
    Ok(PyErr::from_value(class.call((message,), Some(&fields))?))
}

fn spill(py: Python<'_>, action: &str, folder: &str, error: &io::Error) -> PyResult<PyErr> {
    let cause = match error.raw_os_error() {
        Some(code) => {
            let text = py.import("os")?.call_method1("strerror", (code,))?;
            PyOSError::new_err((code, text.unbind()))
        }
        None => PyOSError::new_err((0, error.to_string())),
    };
    let failure = py.import("pymr.shuffle.spill")?.getattr("failure")?;
    let found = failure.call1((action, folder, cause.value(py)))?;
    let raised = PyErr::from_value(found);
    raised.set_cause(py, Some(cause));
    Ok(raised)
}

/// Have panics told in a line, without the frames that RUST_BACKTRACE asks for.
///
/// Where memory has run out, looking for their names runs out of it too, and waits for ever for a
/// lock that it holds itself.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        use io::Write;
        let _ = writeln!(io::stderr(), "pymr._native: {panic}"); // Not buffered: no memory.
    }));
}
