//! `emit` as a bare method of C, and the keys and values that it takes without a detour.
//!
//! A method put on the class by hand saves the 20 to 30 ns that PyO3's own trampoline costs.
use crate::bytes::int_bytes;
use crate::keys;
use crate::map_buffer::RecordBuffer;
use crate::object::{bytes_of, raw_i64_of, utf8_of};
use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// The last int that was emitted, and its encoding: `emit(word, 1)` never looks into the 1.
pub struct Last {
    object: *mut ffi::PyObject, // a reference of our own, or null
    value: i64,
    encoded: (u128, usize),
}

impl Default for Last {
    fn default() -> Self {
        Last {
            object: ptr::null_mut(),
            value: 0,
            encoded: (0, 0),
        }
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and Python objects are dropped with the GIL held.
        unsafe { ffi::Py_XDECREF(self.object) }
    }
}

/// A key, borrowed from the object or made of it, and an int.
pub struct Fast<'a> {
    tag: u8,
    text: &'a [u8],
    int: Option<([u8; 9], usize)>,
    value: i64,
    encoded: (u128, usize),
}

impl Fast<'_> {
    /// The first byte of the encoded key, the others, the value, and its encoding.
    #[inline(always)]
    pub fn parts(&self) -> (u8, &[u8], i64, (u128, usize)) {
        let rest = match &self.int {
            Some((data, length)) => &data[1..*length],
            None => self.text,
        };
        (self.tag, rest, self.value, self.encoded)
    }
}

/// Encode a key that is an exact str, bytes or short int, and a value that is a short int.
///
/// None for all others. No code of the user runs.
///
/// # Safety
/// `key` and `value` are objects; the GIL is held. What is borrowed lives as long as `key`.
#[inline(always)]
pub unsafe fn encode_fast<'a>(
    last: &mut Last,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> Option<Fast<'a>> {
    // SAFETY: types are checked before they are relied on; an int runs no code when it is freed.
    unsafe {
        if value != last.object {
            if ffi::PyLong_CheckExact(value) == 0 {
                return None;
            }
            last.value = raw_i64_of(value)?;
            last.encoded = int_bytes(last.value);
            ffi::Py_INCREF(value);
            ffi::Py_XDECREF(last.object);
            last.object = value;
        }
        let (tag, text, int) = if ffi::PyUnicode_CheckExact(key) != 0 {
            (keys::STR, utf8_of(key)?, None)
        } else if ffi::PyBytes_CheckExact(key) != 0 {
            (keys::BYTES, bytes_of(key), None)
        } else if ffi::PyLong_CheckExact(key) != 0 {
            let int = keys::int_key(raw_i64_of(key)?);
            (int.0[0], &[][..], Some(int))
        } else {
            return None;
        };
        Some(Fast {
            tag,
            text,
            int,
            value: last.value,
            encoded: last.encoded,
        })
    }
}

const SIGNATURE: &std::ffi::CStr = c"emit($self, key, value)\n--\n\nTake one record.";

/// Put `emit` on the class.
pub fn install(class: &Bound<'_, pyo3::types::PyType>) -> PyResult<()> {
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"emit".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: emit,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: SIGNATURE.as_ptr(),
    }));
    // SAFETY: the class is a type, and the definition lives for ever.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(class.py(), method)?
    };
    class.setattr("emit", method)
}

/// `RecordBuffer.emit`, called by the interpreter.
unsafe extern "C" fn emit(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with the GIL held, `count` arguments and one for each name; the
    // method descriptor has checked the class of `slf`. No panic may cross into C.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe {
        let py = Python::assume_attached();
        let slf = Bound::ref_from_ptr(py, &slf).cast_unchecked::<RecordBuffer>();
        let (key, value) = if count == 2 && names.is_null() {
            (*args, *args.add(1))
        } else {
            named(py, args, count, names)?
        };
        if slf.get().emit(py, key, value)? {
            slf.call_method0("_make_room")?;
        }
        Ok(())
    }));
    let error = match done {
        // SAFETY: the GIL is held.
        Ok(Ok(())) => return unsafe { ffi::Py_NewRef(ffi::Py_None()) },
        Ok(Err(error)) => error,
        Err(_) => PySystemError::new_err("a bug in the shuffle: emit panicked"),
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
    // SAFETY: there are `count` arguments and one for each name, as the interpreter says.
    let (args, names) = unsafe {
        let names = Bound::from_borrowed_ptr_or_opt(py, names);
        let names = names.map(|names| names.cast_into_unchecked::<PyTuple>());
        let total = count as usize + names.as_ref().map_or(0, pyo3::types::PyTupleMethods::len);
        (std::slice::from_raw_parts(args, total), names)
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
