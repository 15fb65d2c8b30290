//! Sorted runs as Python holds them: written, merged into others, and opened for a merge.
use crate::combine::Mode;
use crate::cursor::{Cursor, Source};
use crate::fingerprint::Sum;
use crate::merge::Merge;
use crate::record_groups::Combined;
use crate::run_writer::{Block, RunWriter, Sink, Written};
use crate::sink::{CallSink, SpillFile};
use crate::trouble::Trouble;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

// Read-ahead of all cursors of a merge together, and of one at most.
const AHEAD_BYTES: usize = 16 << 20;
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// One block for Python: offset, size, codec, checksum.
type BlockRow = (u64, u32, u8, u64);

/// A sorted run that can be merged; removes its file if it is a spill.
#[pyclass(frozen, module = "pymr._native")]
pub struct Run {
    source: Arc<Source>,
    index: Vec<Vec<Block>>,
    counted: bool,
    spill: Option<PathBuf>,
}

#[pymethods]
impl Run {
    /// A run whose `partitions` have blocks of (offset, size, codec, checksum). `path` is a local
    /// file with its bytes, if there is one; what it does not give is asked of `read_at`. What is
    /// read of it is counted.
    #[new]
    #[pyo3(signature = (name, partitions, read_at, path=None))]
    fn new(
        name: String,
        partitions: Vec<Vec<BlockRow>>,
        read_at: Py<PyAny>,
        path: Option<PathBuf>,
    ) -> Self {
        let block = |(offset, size, codec, checksum)| Block {
            offset,
            size,
            codec,
            checksum,
        };
        let index = partitions
            .into_iter()
            .map(|rows| rows.into_iter().map(block).collect());
        Run {
            source: Arc::new(Source {
                name,
                path,
                read_at: Some(read_at),
                folder: None,
            }),
            index: index.collect(),
            counted: true,
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
                read_at: None,
                folder: Some(folder.to_owned()),
            }),
            index: written.index,
            counted: false,
            spill: Some(path),
        }
    }

    fn open(&self, partition: usize, ahead: usize, attached: bool) -> Result<Cursor, Trouble> {
        let blocks = self.index.get(partition).cloned().unwrap_or_default();
        Cursor::open(self.source.clone(), blocks, ahead, self.counted, attached)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Open `partition` of each run for a merge.
pub fn open_merge(runs: &[Py<Run>], partition: usize, attached: bool) -> Result<Merge, Trouble> {
    let ahead = (AHEAD_BYTES / runs.len().max(1)).min(AHEAD_BYTES_MAX);
    let open = |run: &Py<Run>| run.get().open(partition, ahead, attached);
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

/// Return the mode of a built-in's name.
pub fn mode_of(name: Option<&str>) -> PyResult<Mode> {
    Mode::named(name).ok_or_else(|| PyValueError::new_err(format!("no built-in: {name:?}")))
}

/// Merge `runs`, in order, into a spill in `folder`; the runs are left as they are.
#[pyfunction]
#[pyo3(signature = (runs, partitions, block_bytes, combine, folder, /))]
pub fn merge_to_spill(
    py: Python<'_>,
    runs: Vec<Py<Run>>,
    partitions: usize,
    block_bytes: usize,
    combine: Option<&str>,
    folder: &str,
) -> PyResult<(Run, Moved)> {
    let mode = mode_of(combine)?;
    let merged = py.detach(|| {
        let mut file = SpillFile::create(folder)?;
        let out = RunWriter::new(&mut file, partitions, block_bytes, false)?;
        let (written, moved) = merge_all(&runs, partitions, mode, out, b"")?;
        Ok((Run::spilled(file, folder, written), moved))
    });
    merged.map_err(|trouble: Trouble| trouble.into_py(py))
}

/// Merge `runs`, in order, into the run that `write` is given, with `extra` in its footer.
#[pyfunction]
#[pyo3(signature = (runs, partitions, block_bytes, combine, write, extra, /))]
pub fn merge_to_run(
    py: Python<'_>,
    runs: Vec<Py<Run>>,
    partitions: usize,
    block_bytes: usize,
    combine: Option<&str>,
    write: Py<PyAny>,
    extra: &[u8],
) -> PyResult<(Sealed, Moved)> {
    let mode = mode_of(combine)?;
    let merged = py.detach(|| {
        let mut sink = CallSink { write };
        let out = RunWriter::new(&mut sink, partitions, block_bytes, true)?;
        let (written, moved) = merge_all(&runs, partitions, mode, out, extra)?;
        Ok((sealed(&written), moved))
    });
    merged.map_err(|trouble: Trouble| trouble.into_py(py))
}

fn merge_all(
    runs: &[Py<Run>],
    partitions: usize,
    mode: Mode,
    mut out: RunWriter<'_>,
    extra: &[u8],
) -> Result<(Written, Moved), Trouble> {
    let (mut read, mut combined) = (Sum::default(), Combined::default());
    for partition in 0..partitions {
        let mut merge = open_merge(runs, partition, false)?;
        let more = merge.write_into(&mut out, partition, mode)?;
        combined.values_in += more.values_in;
        combined.values_out += more.values_out;
        read.add(&merge.read());
    }
    let moved = (
        read.records,
        read.bytes,
        read.fingerprint,
        combined.values_in,
        combined.values_out,
    );
    Ok((out.finish(extra)?, moved))
}

/// Write into a spill in `folder` with `fill`, and return it as a run.
pub fn spill(
    folder: &str,
    partitions: usize,
    block_bytes: usize,
    fill: impl FnOnce(&mut RunWriter<'_>) -> Result<(), Trouble>,
) -> Result<Run, Trouble> {
    let mut file = SpillFile::create(folder)?;
    let sink: &mut dyn Sink = &mut file;
    let mut out = RunWriter::new(sink, partitions, block_bytes, false)?;
    fill(&mut out)?;
    let written = out.finish(b"")?;
    Ok(Run::spilled(file, folder, written))
}
