//! `pymr._native`: the compiled part of PyMR. Its types stand in `src/pymr/_native.pyi`.
mod bounded;
mod bytes;
mod combine;
mod combiner;
mod combiner_output;
mod cursor;
mod emit;
mod emitter;
mod fingerprint;
mod footer;
#[cfg(test)]
mod fuzz;
mod group_merge;
mod group_reduce;
mod group_values;
mod keys;
mod lines;
mod map_buffer;
mod merge;
mod merged_groups;
mod object;
mod output;
mod owner;
mod process;
mod quick;
mod ranges;
mod record_groups;
mod records;
mod run;
mod run_writer;
mod sink;
mod sort_word;
mod table;
mod trouble;
mod value_decode;
mod value_encode;
mod value_order;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use super::{
        bounded, cursor, emitter, fingerprint, keys, lines, object, process, trouble, value_decode,
        value_encode,
    };
    use pyo3::prelude::*;
    use pyo3::types::{PyBytes, PyList};
    use xxhash_rust::xxh3;

    #[pymodule_export]
    use super::combiner::FunctionCombiner;
    #[pymodule_export]
    use super::combiner_output::CombinerOutput;
    #[pymodule_export]
    use super::emitter::Emitter;
    #[pymodule_export]
    use super::footer::footer_sums;
    #[pymodule_export]
    use super::group_merge::GroupMerge;
    #[pymodule_export]
    use super::group_values::GroupValues;
    #[pymodule_export]
    use super::map_buffer::RecordBuffer;
    #[pymodule_export]
    use super::output::RowWriter;
    #[pymodule_export]
    use super::run::{Run, merge_to_run, merge_to_spill};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        trouble::tell_panics();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        emitter::install(&module.py().get_type::<Emitter>())
    }

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

    /// Return the number of `\n` in `data`.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn count_newlines(data: &[u8]) -> usize {
        lines::count_newlines(data)
    }

    /// Return `offset`, where `data` begins, and the offsets behind each `\n` in it.
    #[pyfunction]
    #[pyo3(signature = (offset, data, /))]
    fn line_offsets<'py>(
        py: Python<'py>,
        offset: u64,
        data: &[u8],
    ) -> PyResult<Bound<'py, PyList>> {
        lines::offsets(py, offset, data)
    }

    /// Return the bytes of `key`; their order is the key order.
    #[pyfunction]
    #[pyo3(signature = (key, /))]
    fn encode_key<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        keys::encode(key, &mut out, bounded::UNLIMITED)?;
        object::bytes_from(key.py(), &out)
    }

    /// Return the key whose bytes are `data`.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn decode_key<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        keys::decode(py, data)
    }

    /// Return the bytes of `value`, which know their own end.
    #[pyfunction]
    #[pyo3(signature = (value, /))]
    fn encode_value<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        value_encode::encode(value, &mut out, bounded::UNLIMITED)?;
        object::bytes_from(value.py(), &out)
    }

    /// Return the value whose bytes are `data`.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn decode_value<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        value_decode::decode(py, data)
    }

    /// Return the bytes that a block of codec 1 was made of.
    #[pyfunction]
    #[pyo3(signature = (data, /))]
    fn unpack_block<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut raw = Vec::new();
        match cursor::unpack(data, &mut raw).map_err(|trouble| trouble.into_py(py))? {
            Some(()) => object::bytes_from(py, &raw),
            None => Err(keys::CorruptDataError::new_err(
                "a block cannot be decompressed",
            )),
        }
    }

    /// Ask the system to kill this process when its parent ends; False where it cannot.
    #[pyfunction]
    fn die_with_parent() -> bool {
        process::die_with_parent()
    }

    /// Have memory that is freed given back to the system soon; call it once, early.
    #[pyfunction]
    fn keep_little_memory() {
        process::keep_little_memory();
    }

    /// Become the parent of processes that this one has started and whose own parent ends.
    #[pyfunction]
    fn adopt_orphans() -> bool {
        process::adopt_orphans()
    }

    /// Write what C code has printed and its library still holds.
    #[pyfunction]
    fn flush_c_streams() {
        process::flush_c_streams();
    }

    /// Give memory that is free back to the system.
    #[pyfunction]
    fn trim_memory() {
        process::trim_memory();
    }
}
