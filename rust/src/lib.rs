//! `pymr._native`: the compiled part of PyMR.
use pyo3::prelude::*;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Return the 64-bit XXH3 hash of `data`.
#[pyfunction]
#[pyo3(name = "xxh3_64")]
fn py_xxh3_64(data: &[u8]) -> u64 {
    xxh3_64(data)
}

/// Return the 128-bit XXH3 hash of `data`.
#[pyfunction]
#[pyo3(name = "xxh3_128")]
fn py_xxh3_128(data: &[u8]) -> u128 {
    xxh3_128(data)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(py_xxh3_64, module)?)?;
    module.add_function(wrap_pyfunction!(py_xxh3_128, module)?)?;
    Ok(())
}
