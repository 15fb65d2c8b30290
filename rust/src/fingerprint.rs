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
        while position < values.len() {
            let end = bytes::end(values, position)?;
            record.truncate(head);
            record.extend_from_slice(&values[position..end]);
            let repeats = repeats(&values[position..], end - position);
            let hash = xxh3_128(record).wrapping_mul(repeats as u128);
            sum.fingerprint = sum.fingerprint.wrapping_add(hash);
            count += repeats as u64;
            position += repeats * (end - position);
        }
        sum.records += count;
        sum.bytes += count * key.len() as u64 + values.len() as u64;
        Some(count)
    }
}

/// Return how often the value in the first `width` bytes stands there, one behind the other; no
/// value begins as another one does that is shorter.
#[inline]
fn repeats(values: &[u8], width: usize) -> usize {
    if let [value] = values[..width] {
        return values.iter().take_while(|&&byte| byte == value).count();
    }
    let value = &values[..width];
    let followers = values[width..].chunks_exact(width);
    1 + followers.take_while(|&each| each == value).count()
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
