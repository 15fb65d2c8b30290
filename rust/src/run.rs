//! Sorted runs as Python holds them: written, merged into others, and opened for a merge.
use crate::combiner::{Combine, Combining};
use crate::cursor::{Cursor, Source};
use crate::fingerprint::Sum;
use crate::footer::Index;
use crate::group_values::Shared;
use crate::merge::Merge;
use crate::merged_groups::MergedGroups;
use crate::record_groups::Combined;
use crate::run_writer::{RunWriter, Written};
use crate::sink::{CallSink, SpillFile};
use crate::trouble::Trouble;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

// Read ahead, of all runs of a merge together and of one: more makes no merge faster.
const AHEAD_BYTES: usize = 16 << 20;
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// A sorted run that can be merged; removes its file if it is a spill.
#[pyclass(frozen, module = "pymr._native")]
pub struct Run {
    source: Arc<Source>,
    index: Arc<Index>,
    counted: bool,
    spill: Option<PathBuf>,
}

#[pymethods]
impl Run {
    /// `partition` of a run, with the bytes of its footer, where its blocks end. `path` is a local
    /// file with the run, if there is one; what it does not give is asked of `read_at`. What is
    /// read of it is counted.
    #[new]
    #[pyo3(signature = (name, footer, end, partition, read_at, path=None))]
    fn new(
        py: Python<'_>,
        name: String,
        footer: &[u8],
        end: u64,
        partition: usize,
        read_at: Py<PyAny>,
        path: Option<PathBuf>,
    ) -> PyResult<Self> {
        let index = Index::of_partition(footer, end, partition)
            .map_err(|problem| problem.of(&name, end).into_py(py))?;
        Ok(Run {
            source: Arc::new(Source {
                name,
                path,
                shift: 0,
                read_at: Some(read_at),
                folder: None,
            }),
            index: Arc::new(index),
            counted: true,
            spill: None,
        })
    }

    /// The memory that a merge needs of it: a block as it is stored, and as it was.
    #[getter]
    fn merge_bytes(&self) -> usize {
        self.index.longest.saturating_mul(2) // whatever a footer says
    }

    /// Where its blocks lie: offset and length of pieces, of at most `bytes_max`, or of one block.
    #[pyo3(signature = (bytes_max, /))]
    fn pieces(&self, bytes_max: u64) -> Vec<(u64, u64)> {
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for block in self.index.blocks() {
            let size = u64::from(block.size);
            match pieces.last_mut() {
                Some((_, length)) if *length + size <= bytes_max => *length += size,
                _ => pieces.push((block.offset, size)),
            }
        }
        pieces
    }

    /// Where the first block lies that is not as it was written, in `data`: the bytes of a piece,
    /// which is at `offset`.
    #[pyo3(signature = (offset, data, /))]
    fn damage(&self, py: Python<'_>, offset: u64, data: &[u8]) -> Option<u64> {
        py.detach(|| self.index.damage(offset, data))
    }

    /// The same run, whose bytes from `offset` on stand in a file of `folder` from `at` on.
    #[pyo3(signature = (folder, file, offset, at, /))]
    fn kept_in(&self, folder: String, file: &str, offset: u64, at: u64) -> Self {
        Run {
            source: Arc::new(Source {
                name: self.source.name.clone(),
                path: Some(Path::new(&folder).join(file)),
                shift: at.wrapping_sub(offset) as i64,
                read_at: None,
                folder: Some(folder),
            }),
            index: self.index.clone(),
            counted: self.counted,
            spill: None,
        }
    }

    /// Remove the file, if this is a spill; it may be called twice.
    fn remove(&self) {
        if let Some(path) = &self.spill {
            let _ = std::fs::remove_file(path); // Who gave the folder removes it, too.
        }
    }
}

impl Run {
    /// A spill that was written just now.
    pub fn spilled(file: SpillFile, folder: &str, written: Written) -> Self {
        let path = file.keep();
        Run {
            source: Arc::new(Source {
                name: path.display().to_string(),
                path: Some(path.clone()),
                shift: 0,
                read_at: None,
                folder: Some(folder.to_owned()),
            }),
            index: Arc::new(written.index),
            counted: false,
            spill: Some(path),
        }
    }

    fn open(&self, partition: usize, ahead: usize, attached: bool) -> Result<Cursor, Trouble> {
        let (source, index) = (self.source.clone(), self.index.clone());
        Cursor::open(source, index, partition, ahead, self.counted, attached)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Open `partition` of each run for a merge that holds at most `bytes_max` of them in memory, but
/// a block of each.
pub fn open_merge(
    runs: &[Py<Run>],
    partition: usize,
    bytes_max: usize,
    attached: bool,
) -> Result<Merge, Trouble> {
    let longest = runs.iter().map(|run| run.get().index.longest);
    let blocks = longest.fold(0, usize::saturating_add);
    let ahead = bytes_max.saturating_sub(blocks).min(AHEAD_BYTES) / runs.len().max(1);
    let open = |run: &Py<Run>| {
        let ahead = ahead.min(AHEAD_BYTES_MAX);
        run.get().open(partition, ahead, attached)
    };
    Ok(Merge::new(runs.iter().map(open).collect::<Result<_, _>>()?))
}

/// What a merge read and combined: records, bytes and fingerprint read; values in and out.
pub type Moved = (u64, u64, u128, u64, u64);

/// What a run is, when it is whole: records, bytes, fingerprint, digest, size.
pub type Sealed = (u64, u64, u128, u128, u64);

/// What is known of a written run, for Python.
pub fn sealed(written: &Written) -> Sealed {
    let sum = written.sum;
    (
        sum.records,
        sum.bytes,
        sum.fingerprint,
        written.digest,
        written.size,
    )
}

/// Merge `runs`, in order, into a spill in `folder`; the runs are left as they are.
#[pyfunction]
#[pyo3(signature = (runs, partitions, block_bytes, bytes_max, combine, folder, /))]
pub fn merge_to_spill(
    py: Python<'_>,
    runs: Vec<Py<Run>>,
    partitions: usize,
    block_bytes: usize,
    bytes_max: usize,
    combine: Combine,
    folder: &str,
) -> PyResult<(Run, Moved)> {
    let merged = combine.run(py, |combining| {
        spill(folder, partitions, block_bytes, combining, |out| {
            merge_all(&runs, partitions, bytes_max, combining, out)
        })
    });
    merged.map_err(|trouble| trouble.into_py(py))
}

/// Merge `runs`, in order, into the run that `write` is given, with `extra` in its footer.
#[pyfunction]
#[pyo3(signature = (runs, partitions, block_bytes, bytes_max, combine, write, extra, /))]
#[allow(clippy::too_many_arguments)] // Each is a part of the merge.
pub fn merge_to_run(
    py: Python<'_>,
    runs: Vec<Py<Run>>,
    partitions: usize,
    block_bytes: usize,
    bytes_max: usize,
    combine: Combine,
    write: Py<PyAny>,
    extra: &[u8],
) -> PyResult<(Sealed, Moved)> {
    let merged = combine.run(py, |combining| {
        let out = RunWriter::new(CallSink { write }, partitions, block_bytes, true)?;
        let (out, moved) = merge_all(&runs, partitions, bytes_max, combining, Box::new(out))?;
        Ok((sealed(&out.finish(extra)?), moved))
    });
    merged.map_err(|trouble| trouble.into_py(py))
}

fn merge_all(
    runs: &[Py<Run>],
    partitions: usize,
    bytes_max: usize,
    combining: Combining<'_>,
    mut out: Box<RunWriter>,
) -> Result<(Box<RunWriter>, Moved), Trouble> {
    let (mut read, mut combined) = (Sum::default(), Combined::default());
    for partition in 0..partitions {
        let merge = open_merge(runs, partition, bytes_max, combining.is_attached())?;
        let more;
        (out, more) = merge_one(merge, partition, combining, out, &mut read)?;
        combined.values_in += more.values_in;
        combined.values_out += more.values_out;
    }
    let moved = (
        read.records,
        read.bytes,
        read.fingerprint,
        combined.values_in,
        combined.values_out,
    );
    Ok((out, moved))
}

/// Write all groups of `merge`, combined, as `partition` of `out`; what was read goes to `read`.
fn merge_one(
    mut merge: Merge,
    partition: usize,
    combining: Combining<'_>,
    mut out: Box<RunWriter>,
    read: &mut Sum,
) -> Result<(Box<RunWriter>, Combined), Trouble> {
    let (merge, written) = match combining {
        Combining::Detached(mode) => {
            let combined = merge.write_into(&mut out, partition, mode)?;
            (merge, (out, combined))
        }
        Combining::Attached(py, function) => {
            let open = Arc::new(Shared::new(MergedGroups::new(merge, partition)));
            let written = function.write(py, &open, out)?;
            // Who kept the values of a group keeps no files open.
            let empty = MergedGroups::new(Merge::new(Vec::new()), partition);
            let groups = std::mem::replace(&mut *open.wait(py), empty);
            (groups.merge, written)
        }
    };
    read.add(&merge.read());
    Ok(written)
}

/// Write into a spill in `folder` with `fill`, and return it as a run, with what `fill` returns.
pub fn spill<T>(
    folder: &str,
    partitions: usize,
    block_bytes: usize,
    combining: Combining<'_>,
    fill: impl FnOnce(Box<RunWriter>) -> Result<(Box<RunWriter>, T), Trouble>,
) -> Result<(Run, T), Trouble> {
    let (file, sink) = SpillFile::create(folder, combining.is_attached())?;
    let out = RunWriter::new(sink, partitions, block_bytes, false)?;
    let (out, result) = fill(Box::new(out))?;
    let written = out.finish(b"")?;
    Ok((Run::spilled(file, folder, written), result))
}
