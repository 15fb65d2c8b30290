//! What `emit` does to Python objects, without a check that was made before.
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use std::ptr;

/// The UTF-8 of an exact str, borrowed from it; None, with no error set, for lone surrogates.
///
/// # Safety
/// `object` is an exact str that outlives `'a`; the GIL is held.
#[inline(always)]
pub unsafe fn utf8_of<'a>(object: *mut ffi::PyObject) -> Option<&'a [u8]> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: the object is a str; the bytes live as long as it does.
    unsafe {
        let data = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut length);
        if data.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(std::slice::from_raw_parts(data.cast(), length as usize))
    }
}

/// The bytes of an exact bytes object, borrowed from it.
///
/// # Safety
/// `object` is an exact bytes object that outlives `'a`; the GIL is held.
#[inline(always)]
pub unsafe fn bytes_of<'a>(object: *mut ffi::PyObject) -> &'a [u8] {
    // SAFETY: the object is bytes, so there is no error to handle.
    unsafe {
        let data = ffi::PyBytes_AsString(object);
        let length = ffi::PyBytes_Size(object);
        std::slice::from_raw_parts(data.cast(), length as usize)
    }
}

/// The value of an exact int, if it fits.
///
/// # Safety
/// `object` is an exact int; the GIL is held.
#[inline(always)]
pub unsafe fn raw_i64_of(object: *mut ffi::PyObject) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is an int, so there is no error beside the overflow.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// The value of an int, if it fits.
#[inline]
pub fn i64_of(int: &Bound<'_, PyInt>) -> Option<i64> {
    // SAFETY: it is an int, and `Bound` holds the GIL.
    unsafe { raw_i64_of(int.as_ptr()) }
}

/// Copy `length` bytes, mostly few, without a call of memcpy for those.
///
/// # Safety
/// As `ptr::copy_nonoverlapping`.
#[inline(always)]
pub unsafe fn copy_short(source: *const u8, target: *mut u8, length: usize) {
    // SAFETY: all reads and writes lie within `length` bytes: two overlapping halves.
    unsafe {
        if length > 16 {
            ptr::copy_nonoverlapping(source, target, length);
        } else if length >= 8 {
            copy_ends::<u64>(source, target, length);
        } else if length >= 4 {
            copy_ends::<u32>(source, target, length);
        } else if length > 0 {
            *target = *source;
            *target.add(length / 2) = *source.add(length / 2);
            *target.add(length - 1) = *source.add(length - 1);
        }
    }
}

/// Copy the first and the last `T` of `length` bytes, which are all of them.
///
/// # Safety
/// `length` is from one to two times the size of `T`; both sides have so many bytes.
#[inline(always)]
unsafe fn copy_ends<T>(source: *const u8, target: *mut u8, length: usize) {
    // SAFETY: as above; unaligned access is asked for.
    unsafe {
        let last = length - size_of::<T>();
        let head = ptr::read_unaligned(source.cast::<T>());
        let tail = ptr::read_unaligned(source.add(last).cast::<T>());
        ptr::write_unaligned(target.cast::<T>(), head);
        ptr::write_unaligned(target.add(last).cast::<T>(), tail);
    }
}
