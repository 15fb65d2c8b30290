//! `Emitter`: the `emit` of the `ctx` that user functions get, as a bare method of C.
//!
//! A method that stands on the class of `ctx` itself is found and called by the interpreter's
//! specialized instructions, where a bound method in an attribute is looked up and bound first: 8
//! to 13 ns a call. Put on the class by hand it also saves the 20 to 30 ns of PyO3's trampoline.
use crate::combiner_output::CombinerOutput;
use crate::map_buffer::{Known, RecordBuffer};
use crate::output::RowWriter;
use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Passes pairs on; what user functions see is a subclass.
#[pyclass(frozen, subclass, module = "pymr._native")]
pub struct Emitter {
    target: Target,
    is_open: AtomicBool,
}

/// Where pairs go.
enum Target {
    Records(Py<RecordBuffer>),
    Rows(Py<RowWriter>),
    Combined(Py<CombinerOutput>),
    Call(Py<PyAny>),
}

#[pymethods]
impl Emitter {
    /// `target(key, value)` takes each pair. The `emit` of a compiled class is called directly.
    #[new]
    fn new(target: &Bound<'_, PyAny>) -> Self {
        Emitter {
            target: Target::of(target),
            is_open: AtomicBool::new(true),
        }
    }

    /// Give each subclass an `emit` of its own: the interpreter's quickest call of a method is for
    /// objects whose class is the very one that has it.
    #[classmethod]
    fn __init_subclass__(cls: &Bound<'_, PyType>) -> PyResult<()> {
        install(cls)
    }

    /// Whether pairs are passed on; else `emit` calls the method `_refuse` of the subclass.
    #[setter]
    fn set_is_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.target {
            Target::Records(buffer) => visit.call(buffer),
            Target::Rows(writer) => visit.call(writer),
            Target::Combined(output) => visit.call(output),
            Target::Call(function) => visit.call(function),
        }
    }
}

impl Target {
    fn of(target: &Bound<'_, PyAny>) -> Self {
        if let (Ok(name), Ok(owner)) = (target.getattr("__name__"), target.getattr("__self__"))
            && name.eq("emit").unwrap_or(false)
        {
            if let Ok(buffer) = owner.cast::<RecordBuffer>() {
                return Target::Records(buffer.clone().unbind());
            }
            if let Ok(writer) = owner.cast::<RowWriter>() {
                return Target::Rows(writer.clone().unbind());
            }
            if let Ok(output) = owner.cast::<CombinerOutput>() {
                return Target::Combined(output.clone().unbind());
            }
        }
        Target::Call(target.clone().unbind())
    }
}

impl Emitter {
    /// Pass a pair on to the buffer if nothing else is to be done.
    ///
    /// # Safety
    /// `key` and `value` are objects; the GIL is held.
    #[inline(always)]
    unsafe fn emit_known(&self, key: *mut ffi::PyObject, value: *mut ffi::PyObject) -> Known {
        match &self.target {
            Target::Records(buffer) if self.is_open.load(Ordering::Relaxed) => {
                // SAFETY: as the caller says.
                unsafe { buffer.get().emit_known(key, value) }
            }
            _ => Known::Other,
        }
    }

    fn emit(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let this = slf.get();
        if !this.is_open.load(Ordering::Relaxed) {
            return slf.call_method1("_refuse", (key, value)).map(drop);
        }
        match &this.target {
            Target::Records(buffer) => RecordBuffer::emit(buffer.bind(slf.py()), key, value),
            Target::Rows(writer) => writer.get().emit(key, value),
            Target::Combined(output) => output.get().emit(key, value),
            Target::Call(function) => function.call1(slf.py(), (key, value)).map(drop),
        }
    }
}

/// Put `emit` on a class.
pub fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"emit".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: emit,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"emit($self, key, value)\n--\n\nSend one pair on.".as_ptr(),
    }));
    // SAFETY: the class is a type, and the definition lives for ever.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(class.py(), method)?
    };
    class.setattr("emit", method)
}

/// `Emitter.emit`, called by the interpreter.
unsafe extern "C" fn emit(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with the GIL held, `count` arguments and one for each name; the
    // method descriptor has checked the class of `slf`. No panic may cross into C: `emit_known` has
    // none, and the rest is caught.
    let done = unsafe {
        let py = Python::assume_attached();
        let slf = Bound::ref_from_ptr(py, &slf).cast_unchecked::<Emitter>();
        let known = if count == 2 && names.is_null() {
            slf.get().emit_known(*args, *args.add(1))
        } else {
            Known::Other
        };
        if matches!(known, Known::Taken) {
            return ffi::Py_NewRef(ffi::Py_None());
        }
        catch_unwind(AssertUnwindSafe(|| {
            if let (Known::Unsettled, Target::Records(buffer)) = (known, &slf.get().target) {
                return RecordBuffer::settle(buffer.bind(py));
            }
            let (key, value) = if count == 2 && names.is_null() {
                (*args, *args.add(1))
            } else {
                named(py, args, count, names)?
            };
            let (key, value) = (
                Bound::ref_from_ptr(py, &key),
                Bound::ref_from_ptr(py, &value),
            );
            Emitter::emit(slf, key, value)
        }))
    };
    let error = match done {
        // SAFETY: the GIL is held.
        Ok(Ok(())) => return unsafe { ffi::Py_NewRef(ffi::Py_None()) },
        Ok(Err(error)) => error,
        Err(_) => PySystemError::new_err("a bug in pymr: emit panicked"),
    };
    // SAFETY: the GIL is held.
    error.restore(unsafe { Python::assume_attached() });
    ptr::null_mut()
}

/// Find the arguments of a call with names, or refuse it as Python would.
#[cold]
unsafe fn named(
    py: Python<'_>,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<(*mut ffi::PyObject, *mut ffi::PyObject)> {
    // SAFETY: there are `count` arguments and one for each name, as the interpreter says; without
    // any, `args` may be null.
    let (args, names) = unsafe {
        let names = Bound::from_borrowed_ptr_or_opt(py, names);
        let names = names.map(|names| names.cast_into_unchecked::<PyTuple>());
        let total = count as usize + names.as_ref().map_or(0, pyo3::types::PyTupleMethods::len);
        let args = if total == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(args, total)
        };
        (args, names)
    };
    let mut found = [ptr::null_mut(); 2];
    let refusal = || PyTypeError::new_err("emit() takes a key and a value: emit(key, value)");
    let places = (0..count as usize)
        .map(Ok)
        .chain(
            names
                .iter()
                .flatten()
                .map(|name| match name.extract::<String>()?.as_str() {
                    "key" => Ok(0),
                    "value" => Ok(1),
                    _ => Err(refusal()),
                }),
        );
    for (place, &arg) in places.zip(args) {
        let slot: &mut *mut ffi::PyObject = found.get_mut(place?).ok_or_else(refusal)?;
        if !slot.is_null() {
            return Err(refusal());
        }
        *slot = arg;
    }
    if found.contains(&ptr::null_mut()) {
        return Err(refusal());
    }
    Ok((found[0], found[1]))
}
