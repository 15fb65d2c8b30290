//! What records leave in the books: their number, their bytes, and the sum of their hashes.
use crate::bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use xxhash_rust::xxh3::xxh3_128;

/// The sum of some records, whatever their order.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    pub records: u64,
    pub bytes: u64,
    pub fingerprint: u128, // modulo 2**128
}

impl Sum {
    /// Add another sum.
    pub fn add(&mut self, other: &Sum) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
    }
}

/// Hashes records; keeps the space for one.
#[derive(Default)]
pub struct Hasher {
    record: Vec<u8>,
}

impl Hasher {
    /// Add the records of `key` with each of the encoded `values`, back to back, to `sum`.
    ///
    /// Returns how many they are, or None if a value does not end within `values`.
    #[inline]
    pub fn add(&mut self, sum: &mut Sum, key: &[u8], values: &[u8]) -> Option<u64> {
        let record = &mut self.record;
        record.clear();
        bytes::put_varint(record, key.len());
        record.extend_from_slice(key);
        let head = record.len();
        let (mut position, mut count) = (0, 0);
        let (mut last, mut hash) = (0..0, 0u128); // equal neighbours are hashed once
        while position < values.len() {
            let end = bytes::end(values, position)?;
            let value = &values[position..end];
            if count == 0 || value != &values[last.clone()] {
                record.truncate(head);
                record.extend_from_slice(value);
                hash = xxh3_128(record);
                last = position..end;
            }
            sum.fingerprint = sum.fingerprint.wrapping_add(hash);
            count += 1;
            position = end;
        }
        sum.records += count;
        sum.bytes += count * key.len() as u64 + values.len() as u64;
        Some(count)
    }
}

/// Return the sum, modulo 2**128, of XXH3-128 over varint(length of key), key, value.
pub fn sum(key: &[u8], values: &Bound<'_, PyList>) -> PyResult<u128> {
    let mut record = Vec::with_capacity(key.len() + 64);
    bytes::put_varint(&mut record, key.len());
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
