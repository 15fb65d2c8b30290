//! What records leave in the books: the sum of their hashes, whatever their order.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use xxhash_rust::xxh3::xxh3_128;

/// Return the sum, modulo 2**128, of XXH3-128 over varint(length of key), key, value.
pub fn sum(key: &[u8], values: &Bound<'_, PyList>) -> PyResult<u128> {
    let mut record = Vec::with_capacity(key.len() + 64);
    put_varint(&mut record, key.len());
    record.extend_from_slice(key);
    let head = record.len();
    let mut total = 0u128;
    for value in values.iter() {
        record.truncate(head);
        record.extend_from_slice(value.cast::<PyBytes>()?.as_bytes());
        total = total.wrapping_add(xxh3_128(&record));
    }
    Ok(total)
}

fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
