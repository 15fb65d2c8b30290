//! The groups of a reduce task as Python sees them: a key, and its values in portions.
//!
//! A key is decoded once. Values reach the reducer as the iterator of a tuple, or for a large
//! group as a chain of lists, so `sum(values)` runs without a call of ours for each. The merge is
//! entered by one caller at a time: unpickling a value may run code that asks for the next one.
use crate::bytes;
use crate::combine::Group;
use crate::combine::Mode;
use crate::keys;
use crate::merge::Merge;
use crate::run::{Run, mode_of, open_merge};
use crate::trouble::Trouble;
use crate::value_decode;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

const PORTION_VALUES: usize = 4096;
const PORTION_BYTES: usize = 256 << 10; // encoded; a value that is larger comes alone
const ONCE: &str = "values can be iterated once; use list(values)";

static CHAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Iterates over (key, values) in key order; with a built-in, over (key, result).
#[pyclass(frozen, module = "pymr._native")]
pub struct GroupMerge {
    merge: Mutex<Merge>,
    group: AtomicU64, // the number of the open group
    mode: Mode,       // of the built-in reducer
    at_end: Py<PyAny>,
}

#[pymethods]
impl GroupMerge {
    /// Merge `partition` of `runs`, in order; call `at_end` behind the last group. `reduce` is the
    /// name of a built-in: it gives the result where it can, and the values where it cannot.
    #[new]
    #[pyo3(signature = (runs, partition, reduce, at_end))]
    fn new(
        py: Python<'_>,
        runs: Vec<Py<Run>>,
        partition: usize,
        reduce: Option<&str>,
        at_end: Py<PyAny>,
    ) -> PyResult<Self> {
        let merge = open_merge(&runs, partition, true).map_err(|trouble| trouble.into_py(py))?;
        Ok(GroupMerge {
            merge: Mutex::new(merge),
            group: AtomicU64::new(0),
            mode: mode_of(reduce)?,
            at_end,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (py, me) = (slf.py(), slf.get());
        let mut merge = me.enter()?;
        let more = merge.next_group().map_err(|trouble| trouble.into_py(py))?;
        me.group
            .store(merge.groups + u64::from(!more), Ordering::Relaxed);
        if !more {
            drop(merge);
            me.at_end.call0(py)?;
            return Ok(None);
        }
        let key = keys::decode(py, &merge.key)?;
        let values = if me.mode == Mode::Keep {
            group_values(slf, &mut merge, None)?
        } else {
            reduced(slf, &mut merge, me.mode)?
        };
        Ok(Some(PyTuple::new(py, [key, values])?))
    }

    /// What was read of counted runs: records, bytes, fingerprint.
    #[getter]
    fn read(&self) -> PyResult<(u64, u64, u128)> {
        let sum = self.enter()?.read();
        Ok((sum.records, sum.bytes, sum.fingerprint))
    }

    /// Groups, values in them, values in the largest group.
    #[getter]
    fn counts(&self) -> PyResult<(u64, u64, u64)> {
        let merge = self.enter()?;
        Ok((merge.groups, merge.reduced, merge.largest.max(merge.count)))
    }

    /// The encoded key with the most values, or None before the second group.
    #[getter]
    fn largest_key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let merge = self.enter()?;
        Ok((merge.largest > 0).then(|| PyBytes::new(py, &merge.largest_key)))
    }
}

impl GroupMerge {
    fn enter(&self) -> PyResult<MutexGuard<'_, Merge>> {
        self.merge.try_lock().map_err(|_| {
            PyRuntimeError::new_err("the values of a group were asked for while one is decoded")
        })
    }
}

/// The values of one key: one pass, within its group only.
#[pyclass(module = "pymr._native")]
pub struct GroupValues {
    merge: Py<GroupMerge>,
    group: u64,
    iterator: Py<PyIterator>,
    is_taken: bool,
}

#[pymethods]
impl GroupValues {
    fn __iter__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        if self.is_taken || self.is_over() {
            return Err(PyRuntimeError::new_err(ONCE));
        }
        self.is_taken = true;
        Ok(self.iterator.bind(py).clone())
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_over() {
            return Err(PyRuntimeError::new_err(ONCE));
        }
        self.iterator.bind(py).clone().next().transpose()
    }
}

impl GroupValues {
    fn is_over(&self) -> bool {
        self.merge.get().group.load(Ordering::Relaxed) != self.group
    }
}

/// The portions of a large group behind its first.
#[pyclass(frozen, module = "pymr._native")]
struct Portions {
    merge: Py<GroupMerge>,
    group: u64,
}

#[pymethods]
impl Portions {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let groups = self.merge.get();
        if groups.group.load(Ordering::Relaxed) != self.group {
            return Err(PyRuntimeError::new_err(ONCE)); // it would seem to be at its end
        }
        let mut merge = groups.enter()?;
        let portion = next_portion(py, &mut merge)?;
        match portion.failed {
            Some(error) if portion.values.is_empty() => Err(error),
            _ if portion.values.is_empty() => Ok(None),
            _ => Ok(Some(PyList::new(py, portion.values)?)),
        }
    }
}

/// Some values, and why there are no more of them, if that is an error.
struct Portion<'py> {
    values: Vec<Bound<'py, PyAny>>,
    failed: Option<PyErr>,
}

/// Return the values of the open group, behind `first` if it is given.
fn group_values<'py>(
    slf: &Bound<'py, GroupMerge>,
    merge: &mut Merge,
    first: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let mut portion = next_portion(py, merge)?;
    portion.values.splice(..0, first);
    let tuple = PyTuple::new(py, portion.values)?;
    let iterator = if merge.is_open {
        let rest = Portions {
            merge: slf.clone().unbind(),
            group: merge.groups,
        };
        // The rest is asked for when the tuple is used up; a value that failed, then again.
        let chain = CHAIN.import(py, "itertools", "chain")?;
        let rest = chain.call_method1("from_iterable", (rest,))?;
        chain.call1((tuple, rest))?.cast_into::<PyIterator>()?
    } else {
        tuple.try_iter()?
    };
    let values = GroupValues {
        merge: slf.clone().unbind(),
        group: merge.groups,
        iterator: iterator.unbind(),
        is_taken: false,
    };
    Ok(Bound::new(py, values)?.into_any())
}

/// Decode some more values of the group; at one that fails, the merge stays where it is.
fn next_portion<'py>(py: Python<'py>, merge: &mut Merge) -> PyResult<Portion<'py>> {
    let mut values = Vec::new();
    let mut size = 0;
    while merge.is_open {
        let entry = merge.entry();
        let data = entry.values();
        let mut position = merge.position;
        while position < data.len() {
            let Some(end) = bytes::end(data, position) else {
                return Err(entry.corrupt().into_py(py));
            };
            let length = end - position;
            if !values.is_empty()
                && (size + length > PORTION_BYTES || values.len() == PORTION_VALUES)
            {
                merge.position = position;
                return Ok(Portion {
                    values,
                    failed: None,
                });
            }
            match value_decode::decode(py, &data[position..end]) {
                Ok(value) => values.push(value),
                Err(error) => {
                    merge.position = position;
                    return Ok(Portion {
                        values,
                        failed: Some(error),
                    });
                }
            }
            size += length;
            position = end;
        }
        step(py, merge)?;
    }
    Ok(Portion {
        values,
        failed: None,
    })
}

/// Reduce the open group natively; where a value is no int (or no key), return the values from
/// there on, behind what the others came to: a built-in gives the same of these.
fn reduced<'py>(
    slf: &Bound<'py, GroupMerge>,
    merge: &mut Merge,
    mode: Mode,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let mut group = Group::new(mode);
    let mut is_whole = true;
    while is_whole && merge.is_open {
        let entry = merge.entry();
        let data = entry.values();
        let mut position = 0;
        while position < data.len() {
            let Some(end) = bytes::end(data, position) else {
                return Err(entry.corrupt().into_py(py));
            };
            group.add(&data[position..end]);
            if group.count > 0 {
                is_whole = false;
                break;
            }
            position = end;
        }
        merge.position = position;
        if is_whole {
            step(py, merge)?;
        }
    }
    group.clear();
    group.close();
    let first = if group.count == 0 {
        None
    } else {
        Some(value_decode::decode(py, &group.passed)?)
    };
    match first {
        Some(result) if is_whole => Ok(result),
        first => group_values(slf, merge, first),
    }
}

fn step(py: Python<'_>, merge: &mut Merge) -> PyResult<()> {
    merge.step().map_err(|trouble: Trouble| trouble.into_py(py))
}
