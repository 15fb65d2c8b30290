//! Values to bytes, exactly: the same bytes as `pymr/shuffle/value_codec.py`, which is the oracle.
//!
//! Only exact types have a native form. A value with anything else in it is pickled as a whole,
//! as is one in which a list or dict stands twice: a part that is pickled alone could no longer
//! share an object with the rest.
use crate::bounded::Bounded;
use crate::bytes::{
    BIG_INT, BYTES, DICT, FALSE, FLOAT, LIST, NONE, STR, TRUE, TUPLE, int_bytes, put_varint,
    varint_size,
};
use crate::object;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::collections::HashSet;

const DEPTH_MAX: usize = 100; // containers within containers; deeper ones are pickled

static PICKLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Append the bytes of `value` to `data`, which may run code of the user. More than `size_max`
/// bytes are refused as soon as that is known.
pub fn encode(value: &Bound<'_, PyAny>, data: &mut Vec<u8>, size_max: usize) -> PyResult<()> {
    let out = &mut Bounded::value(data, size_max);
    if scalar(value, out)? || container(value, out, 1, &mut Seen::default())? {
        return Ok(());
    }
    out.restart();
    let py = value.py();
    let pickled = PICKLED.import(py, "pymr.shuffle.value_codec", "pickled")?;
    let pickled = pickled.call1((value,))?;
    let pickled = pickled.cast::<PyBytes>()?.as_bytes();
    out.room(pickled.len())?.extend_from_slice(pickled);
    Ok(())
}

/// The lists and dicts of a value, by address: few of them, mostly.
#[derive(Default)]
struct Seen {
    few: Vec<usize>,
    many: HashSet<usize>,
}

impl Seen {
    /// Note an address; false if it was there.
    fn add(&mut self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let address = object.as_ptr() as usize;
        if self.few.len() < 16 {
            let new = !self.few.contains(&address);
            self.few.push(address);
            return Ok(new);
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many
            .try_reserve(1)
            .map_err(|_| PyMemoryError::new_err("no memory is left for a value"))?;
        Ok(self.many.insert(address))
    }
}

/// Append what is no container; false if it is one, or has no native form.
fn scalar(value: &Bound<'_, PyAny>, out: &mut Bounded<'_>) -> PyResult<bool> {
    if let Ok(int) = value.cast_exact::<PyInt>() {
        put_int(int, out)?;
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        object::check_text(text, out)?;
        object::with_utf8(text, |data| put_sized(STR, data, out))?;
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        let out = out.room(9)?;
        out.push(FLOAT);
        out.extend_from_slice(&float.value().to_le_bytes());
    } else if let Ok(data) = value.cast_exact::<PyBytes>() {
        put_sized(BYTES, data.as_bytes(), out)?;
    } else if value.is_none() {
        out.room(1)?.push(NONE);
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.room(1)?
            .push(if truth.is_true() { TRUE } else { FALSE });
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Append a tuple, list or dict; false if a part of it has no native form.
fn container(
    value: &Bound<'_, PyAny>,
    out: &mut Bounded<'_>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    if depth > DEPTH_MAX {
        return Ok(false);
    }
    out.is_part = true;
    let start = out.size();
    out.room(5)?.extend_from_slice(&[0; 5]);
    let (tag, is_native) = if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        (TUPLE, parts(tuple.iter(), out, depth, seen)?)
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        let is_new = seen.add(value)?;
        (LIST, is_new && parts(list.iter(), out, depth, seen)?)
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let is_new = seen.add(value)?;
        (DICT, is_new && items(dict, out, depth, seen)?)
    } else {
        return Ok(false);
    };
    if !is_native {
        return Ok(false);
    }
    let size = out.size() - start - 5;
    let Ok(length) = u32::try_from(size) else {
        let name = value.get_type().name()?;
        return Err(PyValueError::new_err(format!(
            "a value holds a {name} of {size} bytes, expected at most {}",
            u32::MAX
        )));
    };
    let head = &mut out.bytes()[start..];
    head[0] = tag;
    head[1..5].copy_from_slice(&length.to_le_bytes());
    Ok(true)
}

fn parts<'py>(
    values: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut Bounded<'_>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    for value in values {
        if !part(&value, out, depth, seen)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Append the keys and values of a dict. Code of the user may run between them, where an object
/// is allocated and the collector finds garbage with a `__del__`.
fn items(
    dict: &Bound<'_, PyDict>,
    out: &mut Bounded<'_>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    let (count, mut found, mut place) = (dict.len(), 0, 0);
    while let Some((key, value)) = object::next_item(dict, &mut place) {
        found += 1;
        if !part(&key, out, depth, seen)? || !part(&value, out, depth, seen)? {
            return Ok(false);
        }
        if found > count || dict.len() != count {
            break;
        }
    }
    if found == count && dict.len() == count {
        return Ok(true);
    }
    Err(PyRuntimeError::new_err(
        "a dict in a value changed while it was encoded",
    ))
}

fn part(
    value: &Bound<'_, PyAny>,
    out: &mut Bounded<'_>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    Ok(scalar(value, out)? || container(value, out, depth + 1, seen)?)
}

fn put_int(int: &Bound<'_, PyInt>, out: &mut Bounded<'_>) -> PyResult<()> {
    if let Some(value) = object::i64_of(int) {
        let (data, length) = int_bytes(value);
        out.room(length)?
            .extend_from_slice(&data.to_le_bytes()[..length]);
        return Ok(());
    }
    let py = int.py();
    let negative = int.lt(0)?;
    let magnitude = if negative {
        int.call_method0("__invert__")?
    } else {
        int.as_any().clone()
    };
    let bits: usize = magnitude.call_method0("bit_length")?.extract()?;
    let length = (bits + 8) / 8; // with the sign
    out.room(sized(length))?;
    let options = PyDict::new(py);
    options.set_item("signed", true)?;
    let data = int.call_method("to_bytes", (length, "little"), Some(&options))?;
    put_sized(BIG_INT, data.cast::<PyBytes>()?.as_bytes(), out)
}

fn put_sized(tag: u8, data: &[u8], out: &mut Bounded<'_>) -> PyResult<()> {
    let out = out.room(sized(data.len()))?;
    out.push(tag);
    put_varint(out, data.len());
    out.extend_from_slice(data);
    Ok(())
}

/// The bytes of a tag, a length, and so many bytes.
fn sized(length: usize) -> usize {
    1 + varint_size(length) + length
}
