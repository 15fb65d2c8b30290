//! Bytes to values, exactly; whatever the bytes, a value or a `CorruptDataError`.
use crate::bytes::{
    self, BIG_INT, BYTES, DICT, FALSE, FLOAT, LIST, NONE, PICKLE, SMALL_LAST, SMALL_MIN, STR, TRUE,
    TUPLE,
};
use crate::keys::CorruptDataError;
use crate::object;
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt};

const DEPTH_MAX: usize = 100; // containers within containers

static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Return the value whose bytes are all of `data`; a pickle runs code of the user.
#[inline]
pub fn decode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if let &[small @ 0..=SMALL_LAST] = data {
        return Ok(PyInt::new(py, i64::from(small) + SMALL_MIN).into_any());
    }
    whole(py, data, 1)
}

fn whole<'py>(py: Python<'py>, data: &[u8], depth: usize) -> PyResult<Bound<'py, PyAny>> {
    if bytes::end(data, 0) != Some(data.len()) {
        return Err(corrupt("it does not end where it should"));
    }
    let tag = data[0];
    match tag {
        NONE => Ok(py.None().into_bound(py)),
        FALSE | TRUE => Ok(PyBool::new(py, tag == TRUE).to_owned().into_any()),
        FLOAT => {
            let bits = data[1..9].try_into().unwrap_or_default();
            Ok(PyFloat::new(py, f64::from_le_bytes(bits)).into_any())
        }
        STR | BYTES | PICKLE | BIG_INT => {
            let mut start = 1;
            bytes::varint(data, &mut start).ok_or_else(|| corrupt("its length"))?;
            sized(py, tag, &data[start..])
        }
        TUPLE | LIST | DICT => container(py, tag, &data[5..], depth),
        _ => match bytes::int_of(data).map(i64::try_from) {
            Some(Ok(value)) => Ok(PyInt::new(py, value).into_any()),
            _ => Err(corrupt("its int")),
        },
    }
}

fn sized<'py>(py: Python<'py>, tag: u8, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match tag {
        STR => object::text_from(py, body, |error| corrupt(&format!("not a text: {error}"))),
        BYTES => Ok(object::bytes_from(py, body)?.into_any()),
        BIG_INT => {
            let options = PyDict::new(py);
            options.set_item("signed", true)?;
            let data = object::bytes_from(py, body)?;
            let int = py.get_type::<PyInt>();
            int.call_method("from_bytes", (data, "little"), Some(&options))
        }
        _ => {
            let loads = LOADS.import(py, "pickle", "loads")?;
            loads.call1((object::bytes_from(py, body)?,))
        }
    }
}

fn container<'py>(
    py: Python<'py>,
    tag: u8,
    body: &[u8],
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEPTH_MAX {
        return Err(corrupt(&format!("nested deeper than {DEPTH_MAX}")));
    }
    let (mut items, mut position) = (Vec::new(), 0);
    while position < body.len() {
        let end = bytes::end(body, position).ok_or_else(|| corrupt("an item does not end"))?;
        let room = items.try_reserve(1);
        room.map_err(|_| PyMemoryError::new_err("no memory is left for a value"))?;
        items.push(whole(py, &body[position..end], depth + 1)?);
        position = end;
    }
    match tag {
        TUPLE => object::tuple_from(py, items),
        LIST => object::list_from(py, items),
        _ => {
            let dict = PyDict::new(py);
            for pair in items.chunks(2) {
                let [key, value] = pair else {
                    return Err(corrupt("not a dict: a key without a value"));
                };
                let put = dict.set_item(key, value);
                put.map_err(|error| {
                    if error.is_instance_of::<PyTypeError>(py) {
                        return corrupt(&format!("not a dict: {error}"));
                    }
                    error // no memory
                })?;
            }
            Ok(dict.into_any())
        }
    }
}

fn corrupt(problem: &str) -> PyErr {
    CorruptDataError::new_err(format!("corrupt value: {problem}"))
}
