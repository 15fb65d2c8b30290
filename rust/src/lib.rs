//! `pymr._native`: the compiled part of PyMR. Its types stand in `src/pymr/_native.pyi`.
mod fingerprint;
mod keys;
mod process;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use super::{fingerprint, keys, process};
    use pyo3::prelude::*;
    use pyo3::types::{PyBytes, PyList};
    use xxhash_rust::xxh3;

    /// Return the 64-bit XXH3 hash of `data` with `seed`.
    #[pyfunction]
    #[pyo3(signature = (data, seed=0, /))]
    fn xxh3_64(data: &[u8], seed: u64) -> u64 {
        xxh3::xxh3_64_with_seed(data, seed)
    }

    /// Return the 128-bit XXH3 hash of `data`.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn xxh3_128(data: &[u8]) -> u128 {
        xxh3::xxh3_128(data)
    }

    /// Return the sum of the fingerprints of `key` with each of `values`, modulo 2**128.
    #[pyfunction]
    #[pyo3(signature = (key, values, /))]
    fn fingerprint_sum(key: &[u8], values: &Bound<'_, PyList>) -> PyResult<u128> {
        fingerprint::sum(key, values)
    }

    /// Return the bytes of `key`; their order is the key order.
    #[pyfunction]
    #[pyo3(signature = (key, /))]
    fn encode_key<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        keys::encode(key, &mut out, 1)?;
        Ok(PyBytes::new(key.py(), &out))
    }

    /// Return the key whose bytes are `data`.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn decode_key<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        keys::decode(py, data)
    }

    /// Ask the system to kill this process when its parent ends; False where it cannot.
    #[pyfunction]
    fn die_with_parent() -> bool {
        process::die_with_parent()
    }
}
