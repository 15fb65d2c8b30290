//! Values to bytes, exactly: the same bytes as `pymr/shuffle/value_codec.py`, which is the oracle.
//!
//! Only exact types have a native form. A value with anything else in it is pickled as a whole,
//! as is one in which a list or dict stands twice: a part that is pickled alone could no longer
//! share an object with the rest.
use crate::bytes::{
    BIG_INT, BYTES, DICT, FALSE, FLOAT, LIST, NONE, STR, TRUE, TUPLE, int_bytes, put_varint,
};
use crate::object;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::collections::HashSet;

const DEPTH_MAX: usize = 100; // containers within containers; deeper ones are pickled

static PICKLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Append the bytes of `value` to `out`, which may run code of the user.
pub fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let start = out.len();
    if scalar(value, out)? || container(value, out, 1, &mut Seen::default())? {
        return Ok(());
    }
    out.truncate(start);
    let py = value.py();
    let pickled = PICKLED.import(py, "pymr.shuffle.value_codec", "pickled")?;
    let data = pickled.call1((value,))?;
    out.extend_from_slice(data.cast::<PyBytes>()?.as_bytes());
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
    fn add(&mut self, address: usize) -> bool {
        if self.few.len() < 16 {
            let new = !self.few.contains(&address);
            self.few.push(address);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many.insert(address)
    }
}

/// Append what is no container; false if it is one, or has no native form.
fn scalar(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    if let Ok(int) = value.cast_exact::<PyInt>() {
        put_int(int, out)?;
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        match text.to_str() {
            Ok(text) => put_sized(STR, text.as_bytes(), out),
            Err(_) => {
                let data = value.call_method1("encode", ("utf-8", "surrogatepass"))?;
                put_sized(STR, data.cast::<PyBytes>()?.as_bytes(), out);
            }
        }
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        out.push(FLOAT);
        out.extend(float.value().to_le_bytes());
    } else if let Ok(data) = value.cast_exact::<PyBytes>() {
        put_sized(BYTES, data.as_bytes(), out);
    } else if value.is_none() {
        out.push(NONE);
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.push(if truth.is_true() { TRUE } else { FALSE });
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Append a tuple, list or dict; false if a part of it has no native form.
fn container(
    value: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    if depth > DEPTH_MAX {
        return Ok(false);
    }
    let start = out.len();
    out.extend([0; 5]);
    let tag = if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        for item in tuple.iter() {
            if !part(&item, out, depth, seen)? {
                return Ok(false);
            }
        }
        TUPLE
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        if !seen.add(value.as_ptr() as usize) {
            return Ok(false);
        }
        for item in list.iter() {
            if !part(&item, out, depth, seen)? {
                return Ok(false);
            }
        }
        LIST
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        if !seen.add(value.as_ptr() as usize) {
            return Ok(false);
        }
        for (key, item) in dict.iter() {
            if !part(&key, out, depth, seen)? || !part(&item, out, depth, seen)? {
                return Ok(false);
            }
        }
        DICT
    } else {
        return Ok(false);
    };
    let size = out.len() - start - 5;
    let Ok(length) = u32::try_from(size) else {
        let name = value.get_type().name()?;
        return Err(pyo3::exceptions::PyValueError::new_err(format!(
            "a value holds a {name} of {size} bytes, expected at most {}",
            u32::MAX
        )));
    };
    out[start] = tag;
    out[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
    Ok(true)
}

fn part(
    value: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    depth: usize,
    seen: &mut Seen,
) -> PyResult<bool> {
    Ok(scalar(value, out)? || container(value, out, depth + 1, seen)?)
}

fn put_int(int: &Bound<'_, PyInt>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Some(value) = object::i64_of(int) {
        let (data, length) = int_bytes(value);
        out.extend_from_slice(&data.to_le_bytes()[..length]);
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
    let options = PyDict::new(py);
    options.set_item("signed", true)?;
    let data = int.call_method("to_bytes", (length, "little"), Some(&options))?;
    put_sized(BIG_INT, data.cast::<PyBytes>()?.as_bytes(), out);
    Ok(())
}

fn put_sized(tag: u8, data: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_varint(out, data.len());
    out.extend_from_slice(data);
}
