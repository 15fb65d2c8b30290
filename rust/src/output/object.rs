//! Python objects as plain cells, without a copy.
//!
//! Exact types only: an object of a subclass (a `StrEnum`, a `numpy.float64`) has a text of its
//! own, or none, and Python decides. No Python code runs here, with one exception: making the
//! error of a lone surrogate may run the garbage collector. So no native state may be borrowed
//! while a cell is made.
use super::TUPLE_MAX;
use super::cell::Cell;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyTuple};

/// Return the cell of an object that is no tuple.
#[inline]
pub fn scalar<'a>(object: &'a Bound<'_, PyAny>) -> Option<Cell<'a>> {
    let pointer = object.as_ptr();
    // SAFETY: `pointer` is a live object, and this thread is attached, as long as `object` lives.
    unsafe {
        if ffi::PyUnicode_CheckExact(pointer) != 0 {
            return text(object);
        }
        if ffi::PyLong_CheckExact(pointer) != 0 {
            let mut overflow = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(pointer, &raw mut overflow);
            return (overflow == 0).then_some(Cell::Int(number)); // It cannot fail for an int.
        }
    }
    if let Ok(number) = object.cast_exact::<PyFloat>() {
        return Some(Cell::Float(number.value()));
    }
    if object.is_none() {
        return Some(Cell::Null);
    }
    if let Ok(truth) = object.cast_exact::<PyBool>() {
        return Some(Cell::Bool(truth.is_true()));
    }
    let data = object.cast_exact::<PyBytes>().ok()?;
    Some(Cell::Bytes(data.as_bytes()))
}

#[inline]
fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<Cell<'a>> {
    let mut length = 0;
    // SAFETY: `object` is a str. The bytes it gives belong to it, do not change and live as long
    // as it does; `'a` is a borrow of a reference that keeps it alive.
    unsafe {
        let data = ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &raw mut length);
        if data.is_null() {
            ffi::PyErr_Clear(); // a lone surrogate
            return None;
        }
        Some(Cell::Str(std::slice::from_raw_parts(
            data.cast(),
            length.unsigned_abs(),
        )))
    }
}

/// Call `then` with the cell of any plain object.
#[inline(never)]
pub fn with_cell<T>(object: &Bound<'_, PyAny>, then: impl FnOnce(&Cell) -> T) -> Option<T> {
    let Ok(tuple) = object.cast_exact::<PyTuple>() else {
        return scalar(object).map(|cell| then(&cell));
    };
    if tuple.len() > TUPLE_MAX {
        return None;
    }
    let count = tuple.len();
    let item = |index| {
        (index < count)
            .then(|| tuple.get_borrowed_item(index).ok())
            .flatten()
    };
    let items: [_; TUPLE_MAX] = std::array::from_fn(item);
    let mut cells = [Cell::Null; TUPLE_MAX];
    for (cell, item) in cells.iter_mut().zip(items.iter().flatten()) {
        *cell = scalar(item)?;
    }
    Some(then(&Cell::Tuple(&cells[..count])))
}
