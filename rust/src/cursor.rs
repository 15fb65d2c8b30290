//! Reads one partition of a sorted run, entry by entry, each byte checked before it is used.
use crate::bytes;
use crate::fingerprint::{Hasher, Sum};
use crate::footer::{Block, Index, LZ4};
use crate::trouble::Trouble;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const LZ4_RATIO_MAX: usize = 255; // no lz4 block grows more
const READ_BYTES_MAX: usize = 4 << 20; // at once; more is doubled, as it turns out to be there
const KEPT_BYTES_MAX: usize = 1 << 20; // of a block that was read, kept for the next one

/// The bytes of a run: a local file, or whatever `read_at(offset, length)` reads.
pub struct Source {
    pub name: String,
    pub path: Option<PathBuf>,
    pub shift: i64, // from an offset in the run to that in the file
    pub read_at: Option<Py<PyAny>>,
    pub folder: Option<String>, // of a spill, for messages
}

impl Source {
    /// Open the file. What is wrong with it is left to `read_at` to say, unless it is a spill.
    fn open(&self) -> Result<Option<File>, Trouble> {
        match self.path.as_ref().map(File::open) {
            None => Ok(None),
            Some(Ok(file)) => Ok(Some(file)),
            Some(Err(error)) => self.unreadable(error).map_or(Ok(None), Err),
        }
    }

    fn unreadable(&self, error: io::Error) -> Option<Trouble> {
        let folder = self.folder.clone()?;
        if error.kind() == io::ErrorKind::OutOfMemory {
            return Some(Trouble::Memory); // no fault of the folder
        }
        Some(Trouble::Spill {
            action: "read",
            folder,
            error,
        })
    }

    /// Append `length` bytes at `offset` to `out`, which grows as they are found to be there.
    fn read(
        &self,
        file: Option<&File>,
        out: &mut Vec<u8>,
        offset: u64,
        length: usize,
        attached: bool,
    ) -> Result<(), Trouble> {
        if let Some(file) = file {
            let at = offset.wrapping_add_signed(self.shift);
            let read = if attached {
                Python::attach(|py| py.detach(|| read_file(file, out, at, length)))
            } else {
                read_file(file, out, at, length)
            };
            let Err(error) = read else { return Ok(()) };
            if error.kind() != io::ErrorKind::UnexpectedEof
                && let Some(trouble) = self.unreadable(error)
            {
                return Err(trouble);
            }
        }
        let Some(read_at) = &self.read_at else {
            return Err(self.short(offset, 0, length));
        };
        Python::attach(|py| {
            let found = read_at.call1(py, (offset, length))?;
            let found = found.bind(py).cast::<PyBytes>().map_err(PyErr::from)?;
            let found = found.as_bytes();
            if found.len() != length {
                return Err(self.short(offset, found.len(), length));
            }
            out.clear();
            out.try_reserve(length)?;
            out.extend_from_slice(found);
            Ok(())
        })
    }

    fn short(&self, offset: u64, found: usize, expected: usize) -> Trouble {
        let problem = format!("it has {found} bytes where {expected} were written");
        self.corrupt(offset, problem)
    }

    fn corrupt(&self, offset: u64, problem: String) -> Trouble {
        Trouble::Corrupt {
            name: self.name.clone(),
            offset,
            problem,
        }
    }
}

/// A place in one partition of a run: the current entry, until `done`.
pub struct Cursor {
    source: Arc<Source>,
    file: Option<File>,
    index: Arc<Index>,
    blocks: Range<usize>, // in `index`: those of the partition that were not loaded
    loaded: u64,          // where the last one that was lies
    ahead: Vec<u8>,       // blocks that were read, from `ahead_at` on
    ahead_at: u64,
    ahead_bytes: usize, // at most read at once
    attached: bool,
    raw: Vec<u8>,
    position: usize,
    key: (usize, usize),
    values: (usize, usize),
    sums: Option<(Sum, Hasher)>,
    pub prefix: u64, // the first 8 bytes of the key, big endian
    pub count: u64,  // values of the entry
    pub done: bool,
}

impl Cursor {
    /// Open the run at its first entry. `counted`: take the sums of what is read. `attached`: the
    /// caller holds the GIL.
    pub fn open(
        source: Arc<Source>,
        index: Arc<Index>,
        partition: usize,
        ahead_bytes: usize,
        counted: bool,
        attached: bool,
    ) -> Result<Self, Trouble> {
        let mut cursor = Cursor {
            file: source.open()?,
            source,
            blocks: index.range(partition),
            index,
            loaded: 0,
            ahead: Vec::new(),
            ahead_at: 0,
            ahead_bytes,
            attached,
            raw: Vec::new(),
            position: 0,
            key: (0, 0),
            values: (0, 0),
            sums: counted.then(Default::default),
            prefix: 0,
            count: 0,
            done: false,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// The encoded key of the entry.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.raw[self.key.0..self.key.1]
    }

    /// Its encoded values, back to back.
    #[inline]
    pub fn values(&self) -> &[u8] {
        &self.raw[self.values.0..self.values.1]
    }

    /// What was read so far; zeros unless it is counted.
    pub fn sum(&self) -> Sum {
        self.sums.as_ref().map(|(sum, _)| *sum).unwrap_or_default()
    }

    /// Go to the next entry.
    #[inline]
    pub fn advance(&mut self) -> Result<(), Trouble> {
        while self.position == self.raw.len() {
            let at = self.blocks.start;
            if at == self.blocks.end {
                self.done = true;
                return Ok(());
            }
            self.load(at)?;
        }
        if self.parse().is_none() {
            (self.key, self.values) = ((0, 0), (0, 0)); // Whoever asks again gets the error again.
            return Err(self.corrupt());
        }
        Ok(())
    }

    /// The error of an entry that cannot be, although its block is what was written.
    #[cold]
    pub fn corrupt(&self) -> Trouble {
        let problem = "an entry has other values than it says".to_owned();
        self.source.corrupt(self.loaded, problem)
    }

    /// The error of an entry whose key is less than the one before.
    #[cold]
    pub fn disorder(&self) -> Trouble {
        let problem = "its keys are not in order".to_owned();
        self.source.corrupt(self.loaded, problem)
    }

    #[inline]
    fn parse(&mut self) -> Option<()> {
        let data = &self.raw[..];
        let mut at = self.position;
        let length = bytes::varint(data, &mut at)?;
        let key_end = at.checked_add(length).filter(|&end| end <= data.len())?;
        self.key = (at, key_end);
        self.prefix = prefix(data, at, key_end);
        at = key_end;
        let count = bytes::varint(data, &mut at)?;
        let length = bytes::varint(data, &mut at)?;
        let end = at.checked_add(length).filter(|&end| end <= data.len())?;
        if count == 0 || count > length {
            return None; // a value has a byte at least
        }
        self.count = count as u64;
        self.values = (at, end);
        if let Some((sum, hasher)) = &mut self.sums {
            let (key, values) = (&data[self.key.0..self.key.1], &data[at..end]);
            if hasher.add(sum, key, values)? != self.count {
                return None;
            }
        }
        self.position = end;
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn load(&mut self, at: usize) -> Result<(), Trouble> {
        let block = self.index.block(at);
        let start = match self.place_ahead(block) {
            Some(start) => start,
            None => {
                self.read_ahead(at, block)?;
                0
            }
        };
        let data = &self.ahead[start..start + block.size as usize];
        if xxh3_64(data) != block.checksum {
            let problem = "the checksum of a block differs".to_owned();
            return Err(self.source.corrupt(block.offset, problem));
        }
        self.raw.clear();
        self.position = 0;
        (self.key, self.values) = ((0, 0), (0, 0));
        if self.raw.capacity() > KEPT_BYTES_MAX {
            self.raw = Vec::new();
        }
        if block.codec == LZ4 {
            let is_packed = unpack(data, &mut self.raw)?.is_some();
            if self.ahead.len() > KEPT_BYTES_MAX {
                self.ahead = Vec::new();
            }
            if !is_packed {
                let problem = "a block cannot be decompressed".to_owned();
                return Err(self.source.corrupt(block.offset, problem));
            }
        } else if data.len() == self.ahead.len() {
            self.raw = mem::take(&mut self.ahead); // alone: it need not be there twice
        } else {
            self.raw.try_reserve(data.len())?;
            self.raw.extend_from_slice(data);
        }
        self.loaded = block.offset;
        self.blocks.start = at + 1;
        Ok(())
    }

    /// Where a block begins in what was read ahead, if it is there.
    fn place_ahead(&self, block: Block) -> Option<usize> {
        let start = usize::try_from(block.offset.checked_sub(self.ahead_at)?).ok()?;
        let end = start.checked_add(block.size as usize)?;
        (end <= self.ahead.len()).then_some(start)
    }

    /// Read the block at `at`, and those behind it that fit.
    fn read_ahead(&mut self, at: usize, block: Block) -> Result<(), Trouble> {
        let mut size = block.size as usize;
        for more in at + 1..self.blocks.end {
            let more = self.index.block(more);
            let follows = block.offset.checked_add(size as u64) == Some(more.offset);
            if !follows || size + more.size as usize > self.ahead_bytes {
                break;
            }
            size += more.size as usize;
        }
        self.ahead.clear();
        self.ahead_at = block.offset;
        let file = self.file.as_ref();
        let out = &mut self.ahead;
        self.source
            .read(file, out, block.offset, size, self.attached)
    }
}

/// Append `length` bytes of `file`. A length that is no length costs no memory: it is asked for
/// as far as there are bytes.
fn read_file(file: &File, out: &mut Vec<u8>, offset: u64, length: usize) -> io::Result<()> {
    out.clear();
    while out.len() < length {
        let (start, at) = (out.len(), offset.checked_add(out.len() as u64));
        let part = (length - start).min(READ_BYTES_MAX.max(start));
        out.try_reserve(part)?;
        out.resize(start + part, 0);
        let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        file.read_exact_at(&mut out[start..], at)?;
    }
    Ok(())
}

/// Decompress a block to `raw`, which is empty, and stays so with Ok(None): it is no such block.
pub fn unpack(data: &[u8], raw: &mut Vec<u8>) -> Result<Option<()>, Trouble> {
    let Some((head, packed)) = data.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let size = u32::from_le_bytes(*head) as usize;
    if size > packed.len().saturating_mul(LZ4_RATIO_MAX) {
        return Ok(None);
    }
    raw.try_reserve(size)?;
    raw.resize(size, 0);
    match lz4_flex::block::decompress_into(packed, raw) {
        Ok(written) if written == size => Ok(Some(())),
        _ => {
            raw.clear();
            Ok(None)
        }
    }
}

#[inline]
fn prefix(data: &[u8], start: usize, end: usize) -> u64 {
    if let Some(head) = data.get(start..start + 8) {
        let word = u64::from_be_bytes(head.try_into().unwrap_or_default());
        let length = end - start;
        return if length >= 8 {
            word
        } else {
            word & !(u64::MAX >> (8 * length))
        };
    }
    let mut head = [0; 8];
    let length = (end - start).min(8);
    head[..length].copy_from_slice(&data[start..start + length]);
    u64::from_be_bytes(head)
}
