//! Where runs are written: a callable of Python, or a file in the folder of spills.
use crate::object::bytes_from;
use crate::run_writer::Sink;
use crate::trouble::Trouble;
use pyo3::prelude::*;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls `write(bytes)`; the GIL is taken for the call.
pub struct CallSink {
    pub write: Py<PyAny>,
}

impl Sink for CallSink {
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        Python::attach(|py| {
            self.write.call1(py, (bytes_from(py, data)?,))?;
            Ok(())
        })
    }
}

/// A spill that is being written; it is removed unless `keep` is called.
pub struct SpillFile {
    path: PathBuf,
    kept: bool,
}

static SPILLS: AtomicU64 = AtomicU64::new(0);

impl SpillFile {
    /// Create a spill in `folder`, which is made if it is not there. `attached`: who writes to it
    /// holds the GIL.
    pub fn create(folder: &str, attached: bool) -> Result<(Self, SpillSink), Trouble> {
        let failure = |error| Trouble::Spill {
            action: "write",
            folder: folder.to_owned(),
            error,
        };
        let make = || -> io::Result<(PathBuf, File)> {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            let path = Path::new(folder).join(fresh_name()?);
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            Ok((path, file))
        };
        let (path, file) = make().map_err(failure)?;
        let sink = SpillSink {
            folder: folder.to_owned(),
            file,
            attached,
        };
        Ok((SpillFile { path, kept: false }, sink))
    }

    /// Leave the file where it is, and return its path.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path); // Who gave the folder removes it, too.
        }
    }
}

/// The open file of a spill.
pub struct SpillSink {
    folder: String,
    file: File,
    attached: bool,
}

impl Sink for SpillSink {
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        let file = &mut self.file;
        let written = if self.attached {
            Python::attach(|py| py.detach(|| file.write_all(data)))
        } else {
            file.write_all(data)
        };
        written.map_err(|error| Trouble::Spill {
            action: "write",
            folder: self.folder.clone(),
            error,
        })
    }
}

fn fresh_name() -> io::Result<String> {
    let mut nonce = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    let number = SPILLS.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{:016x}-{number}.spill", u64::from_le_bytes(nonce)))
}
