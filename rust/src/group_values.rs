//! The values of a group as Python sees them: one pass, and only while the group is open.
use crate::bytes;
use crate::trouble::Trouble;
use crate::value_decode;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyIterator, PyList, PyTuple};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PORTION_VALUES: usize = 4096;
const PORTION_BYTES: usize = 256 << 10; // encoded; a value that is larger comes alone
const ONCE: &str = "values can be iterated once; use list(values)";

static CHAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A group whose entries are gone through, one after the other.
pub trait OpenGroup: Send {
    /// Whether there is an entry at hand; else the group is at its end.
    fn is_open(&self) -> bool;

    /// The encoded values of the entry, back to back.
    fn values(&self) -> &[u8];

    /// How many they are.
    fn count(&self) -> u64;

    /// Where in them the next value begins.
    fn position(&self) -> usize;

    /// Set what `position` returns.
    fn set_position(&mut self, position: usize);

    /// Go to the next entry, at its first value.
    fn step(&mut self) -> Result<(), Trouble>;

    /// The error of an entry whose values do not end.
    fn corrupt(&self) -> Trouble;
}

/// What the values of groups refer to; not the merge's object, or they would keep each other alive.
pub struct Shared<G: ?Sized> {
    pub group: AtomicU64,           // the number of the open group
    unread: Mutex<Option<Trouble>>, // why values of the open group could not be read
    groups: Mutex<G>,
}

impl<G> Shared<G> {
    pub fn new(groups: G) -> Self {
        Shared {
            group: AtomicU64::new(0),
            unread: Mutex::new(None),
            groups: Mutex::new(groups),
        }
    }

    /// The groups, as soon as nobody has them: a thread of the user's, that is.
    pub fn wait(&self, py: Python<'_>) -> MutexGuard<'_, G> {
        self.groups
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G: ?Sized> Shared<G> {
    /// The groups, for one at a time.
    pub fn enter(&self) -> PyResult<MutexGuard<'_, G>> {
        self.groups.try_lock().map_err(|_| busy())
    }

    fn number(&self) -> u64 {
        self.group.load(Ordering::Relaxed)
    }

    fn unread(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forget why values of the group could not be read, and return it.
    pub fn take_unread(&self) -> Option<Trouble> {
        self.unread().take()
    }

    /// Fail if values of the group could not be read, now and whenever it is asked.
    pub fn check_read(&self, py: Python<'_>) -> Result<(), Trouble> {
        let again = self.unread().as_ref().map(|trouble| trouble.again(py));
        again.map_or(Ok(()), Err)
    }

    /// Note that a value was not given, and return what is raised for it. Whatever chains portions
    /// forgets those that are left.
    fn not_given(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let error = if error.is_instance_of::<PyStopIteration>(py) {
            ended(py, error)
        } else {
            error
        };
        *self.unread() = Some(Trouble::Value(error.clone_ref(py)));
        error
    }
}

/// Whether the reference is the only one to its object.
pub fn is_ours<T>(object: &Py<T>) -> bool {
    // SAFETY: it is an object, and whoever asks holds the GIL.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// What generators make of it, too: an iterator that raises it seems to be at its end.
fn ended(py: Python<'_>, error: PyErr) -> PyErr {
    let raised = PyRuntimeError::new_err("a value raised StopIteration while it was unpickled");
    raised.set_cause(py, Some(error));
    raised
}

pub fn busy() -> PyErr {
    PyRuntimeError::new_err("the values of a group were asked for while one is decoded")
}

/// The values of one key: one pass, within its group only.
#[pyclass(module = "pymr._native")]
pub struct GroupValues {
    shared: Arc<Shared<dyn OpenGroup>>,
    group: u64,
    source: Source,
    is_taken: bool,
}

/// Where the values come from.
enum Source {
    One(Py<OneValue>),
    Many(Py<PyIterator>),
}

/// The values of a group, to be made an object.
pub enum Items<'py> {
    One(Bound<'py, PyAny>),
    Many(Bound<'py, PyIterator>),
}

#[pymethods]
impl GroupValues {
    fn __iter__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.is_taken || self.is_over() {
            return Err(PyRuntimeError::new_err(ONCE));
        }
        self.is_taken = true;
        Ok(match &self.source {
            Source::One(iterator) => iterator.bind(py).clone().into_any(),
            Source::Many(iterator) => iterator.bind(py).clone().into_any(),
        })
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_over() {
            return Err(PyRuntimeError::new_err(ONCE));
        }
        match &self.source {
            Source::One(iterator) => Ok(iterator.borrow_mut(py).take(py)),
            Source::Many(iterator) => iterator.bind(py).clone().next().transpose(),
        }
    }
}

impl GroupValues {
    pub fn new(
        py: Python<'_>,
        shared: Arc<Shared<dyn OpenGroup>>,
        group: u64,
        items: Items<'_>,
    ) -> PyResult<Self> {
        Ok(GroupValues {
            source: Source::new(py, &shared, group, items)?,
            shared,
            group,
            is_taken: false,
        })
    }

    /// Become the values of another group, and return what is held no longer.
    #[inline]
    pub fn renew<'py>(
        &mut self,
        py: Python<'py>,
        group: u64,
        items: Items<'py>,
    ) -> PyResult<Option<Py<PyAny>>> {
        (self.group, self.is_taken) = (group, false);
        if let (Items::One(value), Source::One(iterator)) = (&items, &self.source)
            && is_ours(iterator)
        {
            let mut iterator = iterator.borrow_mut(py);
            iterator.group = group;
            return Ok(iterator.value.replace(value.clone().unbind()));
        }
        let source = Source::new(py, &self.shared, group, items)?;
        Ok(Some(match std::mem::replace(&mut self.source, source) {
            Source::One(iterator) => iterator.into_any(),
            Source::Many(iterator) => iterator.into_any(),
        }))
    }

    fn is_over(&self) -> bool {
        self.shared.number() != self.group
    }
}

impl Source {
    fn new(
        py: Python<'_>,
        shared: &Arc<Shared<dyn OpenGroup>>,
        group: u64,
        items: Items<'_>,
    ) -> PyResult<Self> {
        Ok(match items {
            Items::Many(iterator) => Source::Many(iterator.unbind()),
            Items::One(value) => Source::One(Py::new(
                py,
                OneValue {
                    shared: shared.clone(),
                    group,
                    value: Some(value.unbind()),
                },
            )?),
        })
    }
}

/// Iterates over the value of a group that has no more.
#[pyclass(module = "pymr._native")]
struct OneValue {
    shared: Arc<Shared<dyn OpenGroup>>,
    group: u64,
    value: Option<Py<PyAny>>,
}

#[pymethods]
impl OneValue {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.value.is_some() && self.shared.number() != self.group {
            return Err(PyRuntimeError::new_err(ONCE)); // it would seem to be at its end
        }
        Ok(self.take(py))
    }
}

impl OneValue {
    fn take<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.value.take().map(|value| value.into_bound(py))
    }
}

/// The portions of a large group behind its first.
#[pyclass(frozen, module = "pymr._native")]
struct Portions {
    shared: Arc<Shared<dyn OpenGroup>>,
    group: u64,
}

#[pymethods]
impl Portions {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        if self.shared.number() != self.group {
            return Err(PyRuntimeError::new_err(ONCE)); // it would seem to be at its end
        }
        let group = self.shared.enter();
        let mut group = group.map_err(|error| self.shared.not_given(py, error))?;
        let check_read = || {
            self.shared
                .check_read(py)
                .map_err(|error| error.into_py(py))
        };
        check_read()?;
        let portion = next_portion(py, &self.shared, &mut *group);
        let portion = portion.map_err(|error| self.shared.not_given(py, error))?;
        if !portion.values.is_empty() {
            return Ok(Some(PyList::new(py, portion.values)?));
        }
        check_read()?;
        match portion.failed {
            Some(error) => Err(self.shared.not_given(py, error)),
            None => Ok(None),
        }
    }
}

/// Some values, and why there are no more of them, if that is an error.
struct Portion<'py> {
    values: Vec<Bound<'py, PyAny>>,
    failed: Option<PyErr>,
}

/// Return the values of the open group, behind `first` if it is given.
pub fn items_of<'py, G: OpenGroup + 'static>(
    py: Python<'py>,
    shared: &Arc<Shared<G>>,
    group: &mut G,
    first: Option<Bound<'py, PyAny>>,
) -> PyResult<Items<'py>> {
    if first.is_none() && group.is_open() && group.count() == 1 && group.position() == 0 {
        // Most groups of this kind have no more.
        if let Ok(value) = value_decode::decode(py, group.values()) {
            step(py, group)?;
            if !group.is_open() {
                return Ok(Items::One(value));
            }
            return many(py, shared, group, Some(value));
        }
    }
    many(py, shared, group, first)
}

fn many<'py, G: OpenGroup + 'static>(
    py: Python<'py>,
    shared: &Arc<Shared<G>>,
    group: &mut G,
    first: Option<Bound<'py, PyAny>>,
) -> PyResult<Items<'py>> {
    let mut portion = next_portion(py, shared, group)?;
    portion.values.splice(..0, first);
    let tuple = PyTuple::new(py, portion.values)?;
    let iterator = if group.is_open() {
        let rest = Portions {
            shared: shared.clone(),
            group: shared.number(),
        };
        // The rest is asked for when the tuple is used up; a value that failed, then again.
        let chain = CHAIN.import(py, "itertools", "chain")?;
        let rest = chain.call_method1("from_iterable", (rest,))?;
        chain.call1((tuple, rest))?.cast_into::<PyIterator>()?
    } else {
        tuple.try_iter()?
    };
    Ok(Items::Many(iterator))
}

/// Decode some more values of the group; at one that fails, the group stays where it is. Where
/// they cannot be read on, what was decoded before is given first, and `unread` says why.
fn next_portion<'py, G: OpenGroup + ?Sized>(
    py: Python<'py>,
    shared: &Shared<G>,
    group: &mut G,
) -> PyResult<Portion<'py>> {
    let mut values = Vec::new();
    let mut size = 0;
    while group.is_open() {
        let data = group.values();
        let mut position = group.position();
        while position < data.len() {
            let Some(end) = bytes::end(data, position) else {
                return Err(group.corrupt().into_py(py));
            };
            let length = end - position;
            if !values.is_empty()
                && (size + length > PORTION_BYTES || values.len() == PORTION_VALUES)
            {
                group.set_position(position);
                return Ok(Portion {
                    values,
                    failed: None,
                });
            }
            match value_decode::decode(py, &data[position..end]) {
                Ok(value) => values.push(value),
                Err(error) => {
                    group.set_position(position);
                    return Ok(Portion {
                        values,
                        failed: Some(error),
                    });
                }
            }
            size += length;
            position = end;
        }
        group.set_position(position);
        if let Err(trouble) = group.step() {
            *shared.unread() = Some(trouble);
            break;
        }
    }
    Ok(Portion {
        values,
        failed: None,
    })
}

fn step<G: OpenGroup + ?Sized>(py: Python<'_>, group: &mut G) -> PyResult<()> {
    group.step().map_err(|trouble: Trouble| trouble.into_py(py))
}
