//! The groups of a reduce task as Python sees them: a key, and its values in portions.
//!
//! A key is decoded once. A group of one value is an iterator of its own; those of more values
//! give the iterator of a tuple, or if they are large a chain of lists, so `sum(values)` runs
//! without a call of ours for each. The objects of a group are used again for one after the next,
//! unless somebody kept them. The merge is entered by one caller at a time: unpickling a value may
//! run code that asks for the next one.
use crate::combiner::Combine;
use crate::group_reduce;
use crate::group_values::{GroupValues, Items, OpenGroup, Shared, busy, is_ours, items_of};
use crate::keys;
use crate::merge::Merge;
use crate::object::bytes_from;
use crate::output::RowWriter;
use crate::run::{Run, open_merge};
use crate::trouble::Trouble;
use crate::value_decode;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

const TICK_GROUPS: u64 = 64; // a look at the clock costs about what a small group does

/// Iterates over (key, values) in key order.
#[pyclass(frozen, module = "pymr._native")]
pub struct GroupMerge {
    shared: Arc<Shared<Merge>>,
    spare: Mutex<Spare>,
    at_end: Py<PyAny>,
    on_tick: Py<PyAny>,
    blame: Option<Py<PyAny>>,
}

/// The objects of earlier groups.
#[derive(Default)]
struct Spare {
    pair: Option<Py<PyTuple>>,
    values: [Option<Py<GroupValues>>; 2], // a loop still holds the last one
}

#[pymethods]
impl GroupMerge {
    /// Merge `partition` of `runs`, in order; call `on_tick` now and then with the bytes and records
    /// that were read, and `at_end` behind the last group. `blame(error, key)` raises for what a
    /// value of the last group raised, if somebody hid that.
    #[new]
    #[pyo3(signature = (runs, partition, bytes_max, on_tick, at_end, blame=None))]
    fn new(
        py: Python<'_>,
        runs: Vec<Py<Run>>,
        partition: usize,
        bytes_max: usize,
        on_tick: Py<PyAny>,
        at_end: Py<PyAny>,
        blame: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let merge = open_merge(&runs, partition, bytes_max, true);
        let merge = merge.map_err(|trouble| trouble.into_py(py))?;
        Ok(GroupMerge {
            shared: Arc::new(Shared::new(merge)),
            spare: Mutex::default(),
            at_end,
            on_tick,
            blame,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut merge = self.shared.enter()?;
        if let Err(trouble) = self.shared.check_read(py) {
            return Err(self.hidden(py, merge, trouble));
        }
        if !self.next_group(py, &mut merge)? {
            drop(merge);
            self.at_end.call0(py)?;
            return Ok(None);
        }
        if merge.groups.is_multiple_of(TICK_GROUPS) {
            self.tick(py, merge)?;
            merge = self.shared.enter()?;
        }
        let key = keys::decode(py, &merge.key)?;
        let items = items_of(py, &self.shared, &mut *merge, None)?;
        let group = merge.groups;
        drop(merge); // What earlier groups held is dropped next, which may run code of the user.
        self.pair(py, key, items, group).map(Some)
    }

    /// Reduce all groups by the built-in `reduce` and append the rows to `rows`. A group of which
    /// the built-in cannot be computed here is given to `fallback(key, values)`.
    fn reduce_into(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, RowWriter>,
        reduce: &str,
        fallback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let mut reducer = group_reduce::Reducer::new(rows.get(), Combine::named(Some(reduce))?);
        let mut ticked = 0;
        loop {
            let mut merge = self.shared.enter()?;
            let reduced = reducer.reduce(py, &mut merge, ticked + TICK_GROUPS);
            self.shared.group.store(merge.groups, Ordering::Relaxed);
            match reduced.map_err(|trouble| trouble.into_py(py))? {
                group_reduce::Stop::Tick => {
                    ticked = merge.groups;
                    self.tick(py, merge)?;
                }
                group_reduce::Stop::Rows => {
                    drop(merge);
                    rows.get().drain_if_full(py)?;
                }
                group_reduce::Stop::Open { first } => {
                    let first = first.map(|first| value_decode::decode(py, &first));
                    let key = keys::decode(py, &merge.key)?;
                    let items = items_of(py, &self.shared, &mut *merge, first.transpose()?)?;
                    let group = merge.groups;
                    drop(merge);
                    let (key, values) = self.pair(py, key, items, group)?.extract()?;
                    let (key, values): (Bound<'_, PyAny>, Bound<'_, PyAny>) = (key, values);
                    fallback.call1((key, values))?;
                }
                group_reduce::Stop::End => {
                    self.shared.group.store(merge.groups + 1, Ordering::Relaxed);
                    drop(merge);
                    return self.at_end.call0(py).map(drop);
                }
            }
        }
    }

    /// Forget why values could not be read: what Python raised holds frames, and these us.
    fn close(&self) {
        drop(self.shared.take_unread()); // may run code of the user, out of the lock
    }

    /// What was read of counted runs: records, bytes, fingerprint.
    #[getter]
    fn read(&self) -> PyResult<(u64, u64, u128)> {
        let sum = self.shared.enter()?.read();
        Ok((sum.records, sum.bytes, sum.fingerprint))
    }

    /// Groups, values in them, values in the largest group.
    #[getter]
    fn counts(&self) -> PyResult<(u64, u64, u64)> {
        let merge = self.shared.enter()?;
        Ok((merge.groups, merge.reduced, merge.largest.max(merge.count)))
    }

    /// The encoded key with the most values, or None before the second group.
    #[getter]
    fn largest_key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let merge = self.shared.enter()?;
        let key = (merge.largest > 0).then(|| bytes_from(py, &merge.largest_key));
        key.transpose()
    }
}

impl GroupMerge {
    /// The error of the last group, which the reducer has hidden: a result without the values
    /// that it did not see is none.
    #[cold]
    fn hidden(&self, py: Python<'_>, merge: MutexGuard<'_, Merge>, trouble: Trouble) -> PyErr {
        match (trouble, &self.blame) {
            (Trouble::Value(error), Some(blame)) => {
                let key = keys::decode(py, &merge.key);
                drop(merge); // Code of the user may be shown the error.
                let raised = error.clone_ref(py).into_value(py);
                let blamed = key.and_then(|key| blame.call1(py, (raised, key)));
                blamed.err().unwrap_or(error)
            }
            (trouble, _) => trouble.into_py(py),
        }
    }

    /// Say how much was read.
    fn tick(&self, py: Python<'_>, merge: MutexGuard<'_, Merge>) -> PyResult<()> {
        let sum = merge.read();
        drop(merge); // It may be asked for the next group.
        self.on_tick.call1(py, (sum.bytes, sum.records)).map(drop)
    }

    /// Go to the next group, and end the last one for those that hold its values.
    #[inline]
    fn next_group(&self, py: Python<'_>, merge: &mut Merge) -> PyResult<bool> {
        let more = merge.next_group().map_err(|trouble| trouble.into_py(py))?;
        let group = merge.groups + u64::from(!more);
        self.shared.group.store(group, Ordering::Relaxed);
        Ok(more)
    }

    /// Return a pair of the key and the values, in objects that nobody else has.
    fn pair<'py>(
        &self,
        py: Python<'py>,
        key: Bound<'py, PyAny>,
        items: Items<'py>,
        group: u64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut spare = self.spare.try_lock().map_err(|_| busy())?;
        let (values, old) = spare.values(py, &self.shared, group, items)?;
        let pair = spare.pair(py, key, values.into_any())?;
        drop(spare);
        drop(old); // May run code of the user.
        Ok(pair)
    }
}

impl Spare {
    /// Return an object for the values of a group, and what the object had before.
    #[inline]
    fn values<'py>(
        &mut self,
        py: Python<'py>,
        shared: &Arc<Shared<Merge>>,
        group: u64,
        items: Items<'py>,
    ) -> PyResult<(Bound<'py, GroupValues>, Option<Py<PyAny>>)> {
        self.values.swap(0, 1);
        if let Some(values) = &self.values[0]
            && is_ours(values)
        {
            let values = values.bind(py);
            let old = values.borrow_mut().renew(py, group, items)?;
            return Ok((values.clone(), old));
        }
        let shared: Arc<Shared<dyn OpenGroup>> = shared.clone();
        let values = Bound::new(py, GroupValues::new(py, shared, group, items)?)?;
        self.values[0] = Some(values.clone().unbind());
        Ok((values, None))
    }

    /// Return a tuple of both.
    #[inline]
    fn pair<'py>(
        &mut self,
        py: Python<'py>,
        key: Bound<'py, PyAny>,
        values: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(pair) = &self.pair
            && is_ours(pair)
        {
            // SAFETY: the tuple has two items, and nobody else has it; each call takes over a
            // reference, and releases what stood there.
            unsafe {
                ffi::PyTuple_SetItem(pair.as_ptr(), 0, key.into_ptr());
                ffi::PyTuple_SetItem(pair.as_ptr(), 1, values.into_ptr());
            }
            return Ok(pair.bind(py).clone());
        }
        let pair = PyTuple::new(py, [key, values])?;
        self.pair = Some(pair.clone().unbind());
        Ok(pair)
    }
}

impl OpenGroup for Merge {
    #[inline]
    fn is_open(&self) -> bool {
        self.is_open
    }

    #[inline]
    fn values(&self) -> &[u8] {
        self.entry().values()
    }

    #[inline]
    fn count(&self) -> u64 {
        self.entry().count
    }

    #[inline]
    fn position(&self) -> usize {
        self.position
    }

    #[inline]
    fn set_position(&mut self, position: usize) {
        self.position = position;
    }

    #[inline]
    fn step(&mut self) -> Result<(), Trouble> {
        Merge::step(self)
    }

    fn corrupt(&self) -> Trouble {
        self.entry().corrupt()
    }
}
