//! Keys to bytes and back, so that the order of bytes is the key order.
//!
//! The same bytes as `pymr/shuffle/key_codec.py`, which is the oracle; the layout is written down
//! in `docs/reference/keys-and-values.md`. No unsafe code; whatever the bytes, decoding them ends
//! in a key or a `CorruptDataError`.
use crate::bounded::Bounded;
use crate::object;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

pyo3::import_exception!(pymr.errors, CorruptDataError);

pub const DEPTH_MAX: usize = 100; // tuples within tuples

pub const NONE: u8 = 0x02;
pub const FALSE: u8 = 0x04;
pub const TRUE: u8 = 0x05;
const INT: u8 = 0x20; // ± n: n magnitude bytes; ± 9: four bytes of length come first
const INT_LONGEST: u8 = 9;
const INT_FIRST: u8 = INT - INT_LONGEST;
const INT_LAST: u8 = INT + INT_LONGEST;
const FLOAT: u8 = 0x38;
pub const STR: u8 = 0x40;
pub const BYTES: u8 = 0x48;
pub const TUPLE: u8 = 0x50;

pub const END: u8 = 0x00; // of a tuple, and of a str or bytes within one
const ESCAPE: u8 = 0xFF; // behind a 00 that is data
const SIGN: u64 = 1 << 63;

/// Append the bytes of `key` to `data`; more than `size_max` are refused as soon as that is known.
pub fn encode(key: &Bound<'_, PyAny>, data: &mut Vec<u8>, size_max: usize) -> PyResult<()> {
    append(key, &mut Bounded::key(data, size_max), 1)
}

/// Append a key or a part of one. `depth` counts tuples: 1 at top level.
fn append(key: &Bound<'_, PyAny>, out: &mut Bounded<'_>, depth: usize) -> PyResult<()> {
    if let Ok(text) = key.cast_exact::<PyString>() {
        object::check_text(text, out)?;
        object::with_utf8(text, |data| {
            put_raw(STR, data, out.room(raw_size(data, depth))?, depth);
            Ok(())
        })?;
    } else if let Ok(data) = key.cast_exact::<PyBytes>() {
        let data = data.as_bytes();
        put_raw(BYTES, data, out.room(raw_size(data, depth))?, depth);
    } else if let Ok(int) = key.cast_exact::<PyInt>() {
        put_int(int, out)?;
    } else if let Ok(float) = key.cast_exact::<PyFloat>() {
        put_float(float.value(), out.room(9)?);
    } else if let Ok(tuple) = key.cast_exact::<PyTuple>() {
        if depth > DEPTH_MAX {
            return Err(PyValueError::new_err(format!(
                "a key is nested deeper than {DEPTH_MAX} tuples, expected a flatter tuple"
            )));
        }
        out.is_part = true;
        out.room(1)?.push(TUPLE);
        for item in tuple.iter() {
            append(&item, out, depth + 1)?;
        }
        out.room(1)?.push(END);
    } else if key.is_none() {
        out.room(1)?.push(NONE);
    } else if let Ok(truth) = key.cast_exact::<PyBool>() {
        out.room(1)?
            .push(if truth.is_true() { TRUE } else { FALSE });
    } else {
        return Err(refusal(key, depth));
    }
    Ok(())
}

/// Return the key whose bytes are `data`.
pub fn decode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut input = Input { data, position: 0 };
    let key = input.key(py, 1)?;
    if input.position == data.len() {
        return Ok(key);
    }
    Err(corrupt(format!(
        "{} bytes behind its end",
        data.len() - input.position
    )))
}

/// Append a float.
pub fn put_float(value: f64, out: &mut Vec<u8>) {
    out.extend(float_key(value));
}

/// The key of a float.
#[inline]
pub fn float_key(value: f64) -> [u8; 9] {
    let mut data = [FLOAT; 9];
    data[1..].copy_from_slice(&ordered(value).to_be_bytes());
    data
}

/// The key of an `i64`, in the first bytes of an array, and how many they are: 1 to 9.
#[inline]
pub fn int_key(value: i64) -> ([u8; 9], usize) {
    let magnitude = value.unsigned_abs();
    let length = (71 - magnitude.leading_zeros() as usize) / 8; // 0 for 0
    let shown = if value < 0 { !magnitude } else { magnitude };
    let mut data = [0; 9];
    let tag = length as u8; // at most 8
    data[0] = if value < 0 { INT - tag } else { INT + tag };
    let aligned = shown.checked_shl(64 - 8 * length as u32).unwrap_or(0);
    data[1..].copy_from_slice(&aligned.to_be_bytes());
    (data, length + 1)
}

/// How many bytes `put_raw` appends.
pub fn raw_size(data: &[u8], depth: usize) -> usize {
    if depth == 1 {
        return 1 + data.len();
    }
    let escapes: usize = data.iter().map(|&byte| usize::from(byte == END)).sum();
    2 + data.len() + escapes
}

/// Append a str or bytes: as it is at top level, escaped within a tuple.
pub fn put_raw(tag: u8, data: &[u8], out: &mut Vec<u8>, depth: usize) {
    out.push(tag);
    if depth == 1 {
        out.extend_from_slice(data);
        return;
    }
    for &byte in data {
        out.push(byte);
        if byte == END {
            out.push(ESCAPE);
        }
    }
    out.push(END);
}

fn put_int(key: &Bound<'_, PyInt>, out: &mut Bounded<'_>) -> PyResult<()> {
    if let Some(value) = object::i64_of(key) {
        let (data, length) = int_key(value);
        out.room(length)?.extend_from_slice(&data[..length]);
        return Ok(());
    }
    let negative = key.lt(0)?;
    let magnitude = key.abs()?;
    let bits: usize = magnitude.call_method0("bit_length")?.extract()?;
    let length = bits.div_ceil(8);
    out.room(magnitude_size(length))?;
    let data = magnitude.call_method1("to_bytes", (length, "big"))?;
    let out = out.room(magnitude_size(length))?;
    put_magnitude(negative, data.cast::<PyBytes>()?.as_bytes(), out)
}

/// How many bytes `put_magnitude` appends at most.
pub fn magnitude_size(length: usize) -> usize {
    if length < usize::from(INT_LONGEST) {
        1 + length
    } else {
        5 + length
    }
}

/// Append an int by its sign and its magnitude, big endian, maybe with leading zeros.
pub fn put_magnitude(negative: bool, magnitude: &[u8], out: &mut Vec<u8>) -> PyResult<()> {
    let zeros = magnitude.iter().take_while(|&&byte| byte == 0).count();
    let magnitude = &magnitude[zeros..];
    let flip = if negative { 0xFF } else { 0x00 };
    let short = u8::try_from(magnitude.len())
        .ok()
        .filter(|&length| length < INT_LONGEST);
    let tag = short.unwrap_or(INT_LONGEST);
    out.push(if negative { INT - tag } else { INT + tag });
    if short.is_none() {
        let length = u32::try_from(magnitude.len())?;
        out.extend(length.to_be_bytes().map(|byte| byte ^ flip));
    }
    out.extend(magnitude.iter().map(|byte| byte ^ flip));
    Ok(())
}

/// Map a float to bits that sort as it does: one zero, and one NaN behind +inf.
fn ordered(value: f64) -> u64 {
    let bits = if value.is_nan() {
        0x7FF8 << 48
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The error of what is no key; the text has one home, in the plain form.
fn refusal(key: &Bound<'_, PyAny>, depth: usize) -> PyErr {
    let call = || {
        let codec = key.py().import("pymr.shuffle.key_codec")?;
        codec.getattr("refusal")?.call1((key, depth))
    };
    call().map_or_else(|error| error, PyErr::from_value)
}

fn corrupt(problem: String) -> PyErr {
    CorruptDataError::new_err(format!("corrupt key: {problem}"))
}

/// Encoded bytes, read from `position` on and never beyond their end.
struct Input<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> PyResult<&'a [u8]> {
        let rest = &self.data[self.position..];
        let Some(part) = rest.get(..length) else {
            return Err(corrupt(format!(
                "it ends at byte {}, expected {length} bytes at {}",
                self.data.len(),
                self.position
            )));
        };
        self.position += length;
        Ok(part)
    }

    fn take_array<const N: usize>(&mut self) -> PyResult<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn key<'py>(&mut self, py: Python<'py>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let at = self.position;
        let [tag] = self.take_array()?;
        match tag {
            NONE => Ok(py.None().into_bound(py)),
            FALSE | TRUE => Ok(PyBool::new(py, tag == TRUE).to_owned().into_any()),
            INT_FIRST..=INT_LAST => self.int(py, tag),
            FLOAT => {
                let bits = u64::from_be_bytes(self.take_array()?);
                let bits = if bits & SIGN == 0 { !bits } else { bits ^ SIGN };
                Ok(PyFloat::new(py, f64::from_bits(bits)).into_any())
            }
            STR | BYTES if depth == 1 => {
                let rest = self.take(self.data.len() - self.position)?;
                raw(py, tag, rest)
            }
            STR | BYTES => raw(py, tag, &self.unescaped()?),
            TUPLE if depth <= DEPTH_MAX => {
                let mut items = Vec::new();
                while self
                    .data
                    .get(self.position)
                    .is_some_and(|&byte| byte != END)
                {
                    items.push(self.key(py, depth + 1)?);
                }
                self.take(1)?;
                Ok(PyTuple::new(py, items)?.into_any())
            }
            _ => Err(corrupt(format!("unknown tag {tag:#04x} at byte {at}"))),
        }
    }

    fn int<'py>(&mut self, py: Python<'py>, tag: u8) -> PyResult<Bound<'py, PyAny>> {
        let negative = tag < INT;
        let flip = if negative { 0xFF } else { 0x00 };
        let mut length = usize::from(tag.abs_diff(INT));
        if length == usize::from(INT_LONGEST) {
            let head = self.take_array::<4>()?.map(|byte| byte ^ flip);
            length = u32::from_be_bytes(head) as usize;
        }
        let magnitude: Vec<u8> = self.take(length)?.iter().map(|byte| byte ^ flip).collect();
        let magnitude = object::bytes_from(py, &magnitude)?;
        let int = py
            .get_type::<PyInt>()
            .call_method1("from_bytes", (magnitude, "big"))?;
        if negative { int.neg() } else { Ok(int) }
    }

    fn unescaped(&mut self) -> PyResult<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let [byte] = self.take_array()?;
            if byte == END {
                if self.data.get(self.position) != Some(&ESCAPE) {
                    return Ok(out);
                }
                self.position += 1;
            }
            out.push(byte);
        }
    }
}

fn raw<'py>(py: Python<'py>, tag: u8, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if tag == BYTES {
        return Ok(object::bytes_from(py, data)?.into_any());
    }
    object::text_from(py, data, |error| corrupt(format!("not a text: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(negative: bool, magnitude: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_magnitude(negative, magnitude, &mut out).expect("it fits");
        out
    }

    #[test]
    fn ints_of_any_size_sort_by_their_bytes() {
        let ordered = [
            int(true, &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
            int(true, &[0xFF; 8]),
            int(true, &[1, 0]),
            int(true, &[2]),
            int(true, &[1]),
            int(false, &[]),
            int(false, &[1]),
            int(false, &[2]),
            int(false, &[1, 0]),
            int(false, &[0xFF; 8]),
            int(false, &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        assert!(ordered.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn floats_sort_by_their_bits_with_one_zero_and_one_nan() {
        let inf = f64::INFINITY;
        let sorted = [
            -inf,
            f64::MIN,
            -1.5,
            -5e-324,
            0.0,
            5e-324,
            1.5,
            f64::MAX,
            inf,
            f64::NAN,
        ];
        assert!(sorted.map(ordered).is_sorted_by(|a, b| a < b));
        assert_eq!(ordered(-0.0), ordered(0.0));
        assert_eq!(ordered(-f64::NAN), ordered(f64::NAN));
    }

    #[test]
    fn a_text_within_a_tuple_comes_back_whatever_its_bytes() {
        let data = [0, 0, 0xFF, 0, 1];
        let mut out = Vec::new();
        put_raw(BYTES, &data, &mut out, 2);
        let mut input = Input {
            data: &out[1..],
            position: 0,
        };
        assert_eq!(input.unescaped().expect("it ends"), data);
        assert_eq!(input.position, out.len() - 1);
    }
}
