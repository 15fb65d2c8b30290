//! The combiner of a job: a built-in, which runs without Python, or a function of the user.
//!
//! A function is called for each group of two values or more, with the GIL held for all groups of
//! a spill or merge: to give it back between calls would cost 5 ms each, CPython's switch interval,
//! where another thread computes. Sorting, reading and writing release it. While a call runs
//! nothing of ours is borrowed: the groups and the run that is written are behind locks, which each
//! call of the user's code back into this module takes for itself.
use crate::combine::Mode;
use crate::combiner_output::CombinerOutput;
use crate::group_values::{GroupValues, Items, OpenGroup, Shared, is_ours, items_of};
use crate::keys;
use crate::record_groups::Combined;
use crate::run_writer::RunWriter;
use crate::trouble::Trouble;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What combines the values of a key, as Python gives it: None, a name, or a `FunctionCombiner`.
pub enum Combine {
    Builtin(Mode),
    Function(Py<FunctionCombiner>),
}

/// The same while groups are combined. `Attached`: the GIL is held, else it is not.
#[derive(Clone, Copy)]
pub enum Combining<'a> {
    Detached(Mode),
    Attached(Python<'a>, &'a FunctionCombiner),
}

impl Combine {
    /// The mode of a built-in's name.
    pub fn named(name: Option<&str>) -> PyResult<Mode> {
        Mode::named(name).ok_or_else(|| PyValueError::new_err(format!("no built-in: {name:?}")))
    }

    /// What is done to records as they come: functions see groups only.
    pub fn mode(&self) -> Mode {
        match self {
            Combine::Builtin(mode) => *mode,
            Combine::Function(_) => Mode::Keep,
        }
    }

    /// Do `work`, with the GIL released if there is no function to call.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Combining<'_>) -> Result<T, Trouble> + Send,
    ) -> Result<T, Trouble> {
        match self {
            Combine::Builtin(mode) => py.detach(|| work(Combining::Detached(*mode))),
            Combine::Function(function) => work(Combining::Attached(py, function.get())),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Combine {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(function) = given.cast::<FunctionCombiner>() {
            return Ok(Combine::Function(function.to_owned().unbind()));
        }
        let name: Option<String> = given.extract()?;
        Ok(Combine::Builtin(Combine::named(name.as_deref())?))
    }
}

impl Combining<'_> {
    /// Whether the GIL is held.
    pub fn is_attached(&self) -> bool {
        matches!(self, Combining::Attached(..))
    }
}

/// Groups in the order of (partition, key), which a function can combine.
pub trait Groups: OpenGroup {
    /// Go to the next group, past what is left of this one; false at the end.
    fn next_group(&mut self) -> Result<bool, Trouble>;

    /// Whether the group has one value only; asked once, at its begin.
    fn is_single(&mut self) -> Result<bool, Trouble>;

    /// The partition of the group.
    fn partition(&self) -> usize;

    /// The key of the group.
    fn key(&self) -> &[u8];

    /// How many values the group has, as far as it was gone through.
    fn total(&self) -> u64;
}

/// A function of the user, and what to do with what it gives.
#[pyclass(frozen, module = "pymr._native")]
pub struct FunctionCombiner {
    output: Py<CombinerOutput>,
    function: Py<PyAny>,
    context: Py<PyAny>,
    emit_all: Py<PyAny>,
    settle: Py<PyAny>,
    blame: Py<PyAny>,
}

#[pymethods]
impl FunctionCombiner {
    /// `function(context, key, values)` emits into `output`; what it returns, but for None, goes
    /// to `emit_all`. `settle()` is called behind each call, and `blame(error, key)` raises for it.
    #[new]
    #[pyo3(signature = (*, output, function, context, emit_all, settle, blame))]
    fn new(
        output: Py<CombinerOutput>,
        function: Py<PyAny>,
        context: Py<PyAny>,
        emit_all: Py<PyAny>,
        settle: Py<PyAny>,
        blame: Py<PyAny>,
    ) -> Self {
        FunctionCombiner {
            output,
            function,
            context,
            emit_all,
            settle,
            blame,
        }
    }
}

impl FunctionCombiner {
    /// Write all `groups` to `out`, combined.
    pub fn write<G: Groups + 'static>(
        &self,
        py: Python<'_>,
        groups: &Arc<Shared<G>>,
        mut out: Box<RunWriter>,
    ) -> Result<(Box<RunWriter>, Combined), Trouble> {
        let mut combined = Combined::default();
        let mut spare = None;
        loop {
            let mut group = groups.wait(py);
            if !group.next_group()? {
                return Ok((out, combined));
            }
            if group.is_single()? {
                out.start_group(group.partition(), group.key())?;
                out.add_values(1, group.values())?;
                continue;
            }
            let key = keys::decode(py, group.key())?;
            let items = items_of(py, groups, &mut *group, None)?;
            let output = self.output.get();
            output.open(py, out, group.partition(), group.key(), &key)?;
            drop(group);
            let called = values_in(py, groups, items, &mut spare)
                .and_then(|values| self.call(py, &key, values));
            groups.group.fetch_add(1, Ordering::Relaxed); // The values are over.
            let closed = output.close(py);
            match groups.take_unread() {
                Some(Trouble::Value(error)) => {
                    called?;
                    self.blame(py, error, &key)?; // The function has hidden it.
                }
                Some(trouble) => return Err(trouble), // Whatever the function made of it.
                None => called?,
            }
            let count;
            (out, count) = closed?;
            let mut group = groups.wait(py);
            while group.is_open() {
                group.step()?; // The function stopped early: it was given them all the same.
            }
            combined.values_in += group.total();
            combined.values_out += count;
        }
    }

    fn call(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        values: &Bound<'_, GroupValues>,
    ) -> PyResult<()> {
        let called = self
            .function
            .call1(py, (&self.context, key, values))
            .and_then(|pairs| {
                if pairs.is_none(py) {
                    return Ok(());
                }
                self.emit_all.call1(py, (pairs,)).map(drop)
            });
        self.settle.call0(py)?;
        called.or_else(|error| self.blame(py, error, key))
    }

    fn blame(&self, py: Python<'_>, error: PyErr, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.blame.call1(py, (error.into_value(py), key)).map(drop)
    }
}

/// Return an object with the values of the open group: that of an earlier one, unless somebody
/// kept it.
fn values_in<'py, 'a, G: OpenGroup + 'static>(
    py: Python<'py>,
    groups: &Arc<Shared<G>>,
    items: Items<'py>,
    spare: &'a mut Option<Bound<'py, GroupValues>>,
) -> PyResult<&'a Bound<'py, GroupValues>> {
    let number = groups.group.load(Ordering::Relaxed);
    if let Some(values) = spare.take_if(|values| is_ours(values.as_unbound())) {
        let old = values.borrow_mut().renew(py, number, items)?;
        drop(old); // May run code of the user.
        return Ok(spare.insert(values));
    }
    let values = GroupValues::new(py, groups.clone(), number, items)?;
    Ok(spare.insert(Bound::new(py, values)?))
}
