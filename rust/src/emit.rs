//! The keys and values that `emit` takes without a detour: exact types, so no code of the user runs.
use crate::bytes::int_bytes;
use crate::keys;
use crate::object::{bytes_of, raw_i64_of, utf8_of};
use crate::table::Key;
use pyo3::ffi;
use std::ptr;

/// The last int that was emitted, and its encoding: `emit(word, 1)` never looks into the 1.
pub struct Last {
    object: *mut ffi::PyObject, // a reference of our own, or null
    pub value: i64,
    pub encoded: (u128, usize), // and how many bytes that is
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

impl Last {
    /// Take `value`, if it is an exact int of 64 bits.
    ///
    /// # Safety
    /// It is an object; the GIL is held.
    #[inline(always)]
    pub unsafe fn take(&mut self, value: *mut ffi::PyObject) -> bool {
        if value == self.object {
            return true;
        }
        // SAFETY: the type is checked before it is relied on; an int runs no code when it is freed.
        unsafe {
            if ffi::PyLong_CheckExact(value) == 0 {
                return false;
            }
            let Some(int) = raw_i64_of(value) else {
                return false;
            };
            self.value = int;
            self.encoded = int_bytes(int);
            ffi::Py_INCREF(value);
            ffi::Py_XDECREF(self.object);
        }
        self.object = value;
        true
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and Python objects are dropped with the GIL held.
        unsafe { ffi::Py_XDECREF(self.object) }
    }
}

/// Encode a key that is an exact str, bytes, float or int of 64 bits; None for all others.
///
/// # Safety
/// `key` is an object; the GIL is held. What is borrowed lives as long as `key`.
#[inline(always)]
pub unsafe fn key_of<'a>(key: *mut ffi::PyObject) -> Option<Key<'a>> {
    // SAFETY: types are checked before they are relied on.
    unsafe {
        if ffi::PyUnicode_CheckExact(key) != 0 {
            return Some(Key::new(keys::STR, utf8_of(key)?));
        }
        if ffi::PyBytes_CheckExact(key) != 0 {
            return Some(Key::new(keys::BYTES, bytes_of(key)));
        }
        if ffi::PyLong_CheckExact(key) != 0 {
            let (data, length) = keys::int_key(raw_i64_of(key)?);
            return Some(Key::short(&data[..length]));
        }
        if ffi::PyFloat_CheckExact(key) != 0 {
            return Some(Key::short(&keys::float_key(ffi::PyFloat_AsDouble(key))));
        }
    }
    None
}
