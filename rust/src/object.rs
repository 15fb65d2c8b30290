//! What `emit` does to Python objects, without a check that was made before.
use crate::bounded::Bounded;
use pyo3::exceptions::PyUnicodeDecodeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString};
use std::ffi::{CStr, c_int};
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

/// Refuse a text that is surely larger than what is left of `out`, before it has a UTF-8 form.
#[inline]
pub fn check_text(text: &Bound<'_, PyString>, out: &mut Bounded<'_>) -> PyResult<()> {
    let characters = text.len()?;
    if characters <= out.left() || text.call_method0("isascii")?.is_truthy()? {
        return Ok(()); // ASCII is its own UTF-8, which costs nothing: its size can be said
    }
    out.is_part = true;
    Err(out.too_large(characters))
}

/// Call `each` with the UTF-8 of a text; a lone surrogate is encoded as any character of its size.
#[inline]
pub fn with_utf8(
    text: &Bound<'_, PyString>,
    each: impl FnOnce(&[u8]) -> PyResult<()>,
) -> PyResult<()> {
    if let Ok(text) = text.to_str() {
        return each(text.as_bytes());
    }
    let data = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
    each(data.cast::<PyBytes>()?.as_bytes())
}

/// The next key and value of a dict, which may change between calls; `place` is 0 at first.
pub fn next_item<'py>(
    dict: &Bound<'py, PyDict>,
    place: &mut ffi::Py_ssize_t,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: it is a dict, `Bound` holds the GIL, and what was lent is owned before any code runs.
    unsafe {
        if ffi::PyDict_Next(dict.as_ptr(), place, &raw mut key, &raw mut value) == 0 {
            return None;
        }
        Some((
            Bound::from_borrowed_ptr(dict.py(), key),
            Bound::from_borrowed_ptr(dict.py(), value),
        ))
    }
}

/// The bytes object of `data`; where no memory is left an error, where `PyBytes::new` would panic.
#[inline]
pub fn bytes_from<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: the bytes are there, as many as there are; null stands for an error that is set.
    unsafe {
        let length = data.len() as ffi::Py_ssize_t;
        let object = ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), length);
        Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked())
    }
}

/// The str whose UTF-8 is `data`, with lone surrogates like any character of their size; the error
/// of what is no text goes through `corrupt`.
#[inline]
pub fn text_from<'py>(
    py: Python<'py>,
    data: &[u8],
    corrupt: impl FnOnce(PyErr) -> PyErr,
) -> PyResult<Bound<'py, PyAny>> {
    decoded(py, data, None).or_else(|error| {
        let is_no_text = |error: &PyErr| error.is_instance_of::<PyUnicodeDecodeError>(py);
        if !is_no_text(&error) {
            return Err(error); // no memory
        }
        let text = decoded(py, data, Some(c"surrogatepass"));
        text.map_err(|error| {
            if is_no_text(&error) {
                corrupt(error)
            } else {
                error
            }
        })
    })
}

fn decoded<'py>(
    py: Python<'py>,
    data: &[u8],
    errors: Option<&CStr>,
) -> PyResult<Bound<'py, PyAny>> {
    let errors = errors.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the bytes are there, as many as there are; null stands for an error that is set.
    // Python looks at the bytes once, where Rust's check would be another time.
    unsafe {
        let length = data.len() as ffi::Py_ssize_t;
        let text = ffi::PyUnicode_DecodeUTF8(data.as_ptr().cast(), length, errors);
        Bound::from_owned_ptr_or_err(py, text)
    }
}

/// The list of `items`; where no memory is left an error, where `PyList::new` would panic.
pub fn list_from<'py>(
    py: Python<'py>,
    items: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: these are the functions of lists.
    unsafe { filled(py, items, ffi::PyList_New, ffi::PyList_SetItem) }
}

/// The same for tuples.
pub fn tuple_from<'py>(
    py: Python<'py>,
    items: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: these are the functions of tuples.
    unsafe { filled(py, items, ffi::PyTuple_New, ffi::PyTuple_SetItem) }
}

type New = unsafe extern "C" fn(ffi::Py_ssize_t) -> *mut ffi::PyObject;
type SetItem =
    unsafe extern "C" fn(*mut ffi::PyObject, ffi::Py_ssize_t, *mut ffi::PyObject) -> c_int;

/// # Safety
/// `new` makes an object of so many places, and `set_item` sets one of these.
#[inline(always)]
unsafe fn filled<'py>(
    py: Python<'py>,
    items: Vec<Bound<'py, PyAny>>,
    new: New,
    set_item: SetItem,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: null stands for an error that is set; nobody else has the new object, every place of
    // it is set once, and takes a reference over.
    unsafe {
        let object = Bound::from_owned_ptr_or_err(py, new(items.len() as ffi::Py_ssize_t))?;
        for (place, item) in (0..).zip(items) {
            set_item(object.as_ptr(), place, item.into_ptr());
        }
        Ok(object)
    }
}

/// At most 15 bytes as the low bytes of a number, without a copy in memory: reading bytes that
/// were just written by stores of other sizes would wait for these stores.
#[inline(always)]
pub fn block_of(data: &[u8]) -> u128 {
    let length = data.len();
    debug_assert!(length < 16);
    // SAFETY: all reads lie within `length` bytes: overlapping halves.
    unsafe {
        let start = data.as_ptr();
        if length >= 8 {
            let head = ptr::read_unaligned(start.cast::<u64>()).to_le();
            let tail = ptr::read_unaligned(start.add(length - 8).cast::<u64>()).to_le();
            return u128::from(head) | u128::from(tail) << (8 * (length - 8));
        }
        if length >= 4 {
            let head = ptr::read_unaligned(start.cast::<u32>()).to_le();
            let tail = ptr::read_unaligned(start.add(length - 4).cast::<u32>()).to_le();
            return u128::from(u64::from(head) | u64::from(tail) << (8 * (length - 4)));
        }
        if length == 0 {
            return 0;
        }
        let (middle, last) = (length / 2, length - 1);
        u128::from(
            u32::from(*start)
                | u32::from(*start.add(middle)) << (8 * middle)
                | u32::from(*start.add(last)) << (8 * last),
        )
    }
}

/// Have the line of the cache with `data[at]` loaded, where the processor can be told so.
#[inline(always)]
pub fn prefetch<T>(data: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = data.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it is a hint and reads nothing that the program sees; SSE is in every x86_64.
        unsafe { _mm_prefetch(ptr::from_ref(item).cast(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_bytes_and_zeros() {
        let data: Vec<u8> = (1..16).collect();
        for length in 0..16 {
            let mut expected = [0; 16];
            expected[..length].copy_from_slice(&data[..length]);
            assert_eq!(block_of(&data[..length]).to_le_bytes(), expected);
        }
    }
}
