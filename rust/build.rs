//! Refuses a free-threaded Python: what `unsafe` rests on here is that the GIL is held.
//!
//! PyO3 would fall back from abi3 to a build for that Python alone, without a word.

fn main() {
    if pyo3_build_config::get().is_free_threaded() {
        println!(
            "cargo::error=PyMR needs a Python with the GIL, this one is a free-threaded build; \
             choose another, such as python3.13 in place of python3.13t"
        );
    }
}
