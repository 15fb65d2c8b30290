//! Encodes the keys and values that come most often, by bare calls of Python's C functions.
//!
//! Only exact types are taken, so no code of the user runs; whatever is out of the ordinary is left
//! to `keys` and `value_encode`, whose bytes these are: `None`, and nothing was done. (The error of
//! a lone surrogate, although it is dropped, may run the garbage collector, and that a finalizer:
//! it is `None`, and no object is looked at afterwards.)
use crate::bytes::{self, int_bytes, put_varint};
use crate::keys;
use crate::object::{bytes_of, raw_i64_of, utf8_of};
use pyo3::ffi;

const DEPTH_MAX: usize = 4; // containers within containers
const VARINT_BYTES_MAX: usize = 10;

/// Append the value and then the key, what of them is given and of at most these sizes; return the
/// size of the value.
///
/// # Safety
/// They are objects; the GIL is held.
#[inline]
pub unsafe fn append(
    out: &mut Vec<u8>,
    value: Option<*mut ffi::PyObject>,
    key: Option<*mut ffi::PyObject>,
    sizes_max: (usize, usize),
) -> Option<usize> {
    // SAFETY: as the caller says.
    unsafe {
        if let Some(value) = value {
            Quick::new(out, sizes_max.0).value(value)?;
        }
        let value_size = out.len();
        if let Some(key) = key {
            Quick::new(out, sizes_max.1).tuple_key(key)?;
        }
        Some(value_size)
    }
}

/// Appends one key or value to `out`, of at most `size_max` bytes.
struct Quick<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    is_shared: bool, // a list or dict has come: if another does, they may be the same
}

impl<'a> Quick<'a> {
    fn new(out: &'a mut Vec<u8>, size_max: usize) -> Self {
        Quick {
            end: out.len().saturating_add(size_max),
            out,
            is_shared: false,
        }
    }

    /// Append a value.
    ///
    /// # Safety
    /// `object` is one; the GIL is held.
    #[inline]
    unsafe fn value(&mut self, object: *mut ffi::PyObject) -> Option<()> {
        let start = self.out.len();
        // SAFETY: as the caller says.
        let done = unsafe { self.put_value(object, 0) };
        if done.is_none() {
            self.out.truncate(start);
        }
        done
    }

    /// Append a key that is a tuple.
    ///
    /// # Safety
    /// `object` is one; the GIL is held.
    #[inline]
    unsafe fn tuple_key(&mut self, object: *mut ffi::PyObject) -> Option<()> {
        let start = self.out.len();
        // SAFETY: as the caller says; the type is checked first.
        let done = unsafe {
            if ffi::PyTuple_CheckExact(object) == 0 {
                return None;
            }
            self.put_key(object, 1)
        };
        if done.is_none() {
            self.out.truncate(start);
        }
        done
    }

    #[inline]
    fn room(&mut self, length: usize) -> Option<()> {
        if self.end.saturating_sub(self.out.len()) < length {
            return None;
        }
        self.out.try_reserve(length).ok()
    }

    #[inline]
    fn put(&mut self, data: &[u8]) -> Option<()> {
        self.room(data.len())?;
        self.out.extend_from_slice(data);
        Some(())
    }

    #[inline]
    fn put_sized(&mut self, tag: u8, data: &[u8]) -> Option<()> {
        self.room(1 + VARINT_BYTES_MAX + data.len())?;
        self.out.push(tag);
        put_varint(self.out, data.len());
        self.out.extend_from_slice(data);
        Some(())
    }

    /// # Safety
    /// As `value`.
    unsafe fn put_value(&mut self, object: *mut ffi::PyObject, depth: usize) -> Option<()> {
        // SAFETY: types are checked before they are relied on.
        unsafe {
            if ffi::PyLong_CheckExact(object) != 0 {
                let (data, length) = int_bytes(raw_i64_of(object)?);
                self.put(&data.to_le_bytes()[..length])
            } else if ffi::PyUnicode_CheckExact(object) != 0 {
                // What is surely too large is not worth its UTF-8, which would stay with it.
                self.room(ffi::PyUnicode_GetLength(object) as usize)?;
                self.put_sized(bytes::STR, utf8_of(object)?)
            } else if ffi::PyFloat_CheckExact(object) != 0 {
                let mut data = [bytes::FLOAT; 9];
                data[1..].copy_from_slice(&ffi::PyFloat_AsDouble(object).to_le_bytes());
                self.put(&data)
            } else if ffi::PyBytes_CheckExact(object) != 0 {
                self.put_sized(bytes::BYTES, bytes_of(object))
            } else if object == ffi::Py_None() {
                self.put(&[bytes::NONE])
            } else if object == ffi::Py_True() {
                self.put(&[bytes::TRUE])
            } else if object == ffi::Py_False() {
                self.put(&[bytes::FALSE])
            } else if depth < DEPTH_MAX {
                self.put_container(object, depth)
            } else {
                None
            }
        }
    }

    /// # Safety
    /// As `value`.
    unsafe fn put_container(&mut self, object: *mut ffi::PyObject, depth: usize) -> Option<()> {
        let start = self.out.len();
        self.put(&[0; 5])?;
        // SAFETY: types are checked first; nothing runs that could change a list or dict before
        // the last look at it, and what is borrowed from them is used at once.
        let tag = unsafe {
            if ffi::PyTuple_CheckExact(object) != 0 {
                for index in 0..ffi::PyTuple_Size(object) {
                    self.put_value(ffi::PyTuple_GetItem(object, index), depth + 1)?;
                }
                bytes::TUPLE
            } else if ffi::PyList_CheckExact(object) != 0 {
                self.note_shared()?;
                for index in 0..ffi::PyList_Size(object) {
                    self.put_value(ffi::PyList_GetItem(object, index), depth + 1)?;
                }
                bytes::LIST
            } else if ffi::PyDict_CheckExact(object) != 0 {
                self.note_shared()?;
                let (mut place, mut key, mut value) =
                    (0, std::ptr::null_mut(), std::ptr::null_mut());
                while ffi::PyDict_Next(object, &raw mut place, &raw mut key, &raw mut value) != 0 {
                    self.put_value(key, depth + 1)?;
                    self.put_value(value, depth + 1)?;
                }
                bytes::DICT
            } else {
                return None;
            }
        };
        let length = u32::try_from(self.out.len() - start - 5).ok()?;
        self.out[start] = tag;
        self.out[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
        Some(())
    }

    fn note_shared(&mut self) -> Option<()> {
        let is_first = !std::mem::replace(&mut self.is_shared, true);
        is_first.then_some(())
    }

    /// # Safety
    /// As `value`. `depth` counts tuples: 1 at top level.
    unsafe fn put_key(&mut self, object: *mut ffi::PyObject, depth: usize) -> Option<()> {
        // SAFETY: types are checked before they are relied on.
        unsafe {
            if ffi::PyUnicode_CheckExact(object) != 0 {
                self.put_text(keys::STR, utf8_of(object)?)
            } else if ffi::PyLong_CheckExact(object) != 0 {
                let (data, length) = keys::int_key(raw_i64_of(object)?);
                self.put(&data[..length])
            } else if ffi::PyFloat_CheckExact(object) != 0 {
                self.put(&keys::float_key(ffi::PyFloat_AsDouble(object)))
            } else if ffi::PyBytes_CheckExact(object) != 0 {
                self.put_text(keys::BYTES, bytes_of(object))
            } else if object == ffi::Py_None() {
                self.put(&[keys::NONE])
            } else if object == ffi::Py_True() {
                self.put(&[keys::TRUE])
            } else if object == ffi::Py_False() {
                self.put(&[keys::FALSE])
            } else if ffi::PyTuple_CheckExact(object) != 0 && depth <= DEPTH_MAX {
                self.put(&[keys::TUPLE])?;
                for index in 0..ffi::PyTuple_Size(object) {
                    self.put_key(ffi::PyTuple_GetItem(object, index), depth + 1)?;
                }
                self.put(&[keys::END])
            } else {
                None
            }
        }
    }

    /// Append a str or bytes within a tuple; one that has to be escaped is left to others.
    fn put_text(&mut self, tag: u8, data: &[u8]) -> Option<()> {
        if data.contains(&keys::END) {
            return None;
        }
        self.room(data.len() + 2)?;
        self.out.push(tag);
        self.out.extend_from_slice(data);
        self.out.push(keys::END);
        Some(())
    }
}
