//! The footer of a sorted run: what each partition holds, and where its blocks lie.
//!
//! Only what is asked for is kept: a reduce task reads the footers of all map outputs, each with
//! all partitions, and needs one. The form in plain Python is `pymr/shuffle/footer.py`.
use crate::bytes::varint;
use crate::fingerprint::Sum;
use crate::object::bytes_from;
use crate::trouble::Trouble;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xxhash_rust::xxh3::xxh3_64;

pub const VERSION: u8 = 3; // of the whole sorted run; the footer begins with it
pub const STORED: u8 = 0;
pub const LZ4: u8 = 1;
pub const HEADER_BYTES: u64 = 12; // blocks begin behind it

/// Where a block lies, and what its bytes must be.
#[derive(Clone, Copy)]
pub struct Block {
    pub offset: u64,
    pub size: u32,
    pub codec: u8,
    pub checksum: u64,
}

/// The blocks of some partitions.
#[derive(Default)]
pub struct Index {
    blocks: Vec<Block>,
    ends: Vec<usize>,   // of each partition, in `blocks`
    pub longest: usize, // bytes of the longest block, decompressed
}

impl Index {
    /// Add a block to the partition that is open, of `length` bytes before it was compressed.
    pub fn push(&mut self, block: Block, length: usize) -> Result<(), Trouble> {
        self.blocks.try_reserve(1)?;
        self.blocks.push(block);
        self.longest = self.longest.max(length);
        Ok(())
    }

    /// End the open partition, and return its blocks.
    pub fn end_partition(&mut self) -> Result<&[Block], Trouble> {
        self.ends.try_reserve(1)?;
        self.ends.push(self.blocks.len());
        Ok(&self.blocks[self.range(self.ends.len() - 1)])
    }

    /// The partitions that have ended.
    pub fn partitions(&self) -> usize {
        self.ends.len()
    }

    /// The block at `at`.
    pub fn block(&self, at: usize) -> Block {
        self.blocks[at]
    }

    /// All blocks, as they lie.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Where the first block lies that is not as it was written, in the bytes at `offset`, which
    /// are some blocks from their beginning on.
    pub fn damage(&self, offset: u64, data: &[u8]) -> Option<u64> {
        let end = offset.saturating_add(data.len() as u64);
        let first = self.blocks.partition_point(|block| block.offset < offset);
        let mut blocks = self.blocks[first..].iter();
        let bad = blocks.find(|block| {
            block.offset < end && {
                let start = (block.offset - offset) as usize;
                let stored = data.get(start..start + block.size as usize);
                stored.is_none_or(|stored| xxh3_64(stored) != block.checksum)
            }
        })?;
        Some(bad.offset)
    }

    /// Where the blocks of `partition` are; none of one that is not there.
    pub fn range(&self, partition: usize) -> std::ops::Range<usize> {
        let end = self.ends.get(partition).copied().unwrap_or_default();
        let start = match partition {
            0 => 0,
            _ => self.ends.get(partition - 1).copied().unwrap_or_default(),
        };
        start.min(end)..end
    }

    /// The blocks of `partition` in the footer `data`, as the only partition.
    pub fn of_partition(data: &[u8], end: u64, partition: usize) -> Result<Self, Problem> {
        let mut index = Index::default();
        let mut parts = Parts::new(data, end)?;
        for at in 0..parts.partitions {
            let part = parts.next_part()?;
            for _ in 0..part.blocks {
                let block = parts.next_block()?;
                if at == partition {
                    index.blocks.try_reserve(1).map_err(|_| Problem::Memory)?;
                    index.blocks.push(block);
                }
            }
            if at == partition {
                index.longest = part.longest;
            }
        }
        parts.extra()?;
        index.ends.push(index.blocks.len());
        Ok(index)
    }
}

/// Why a footer is none.
pub enum Problem {
    Text(String),
    Memory,
}

impl Problem {
    /// The error for the run `name`, whose footer begins at `offset`.
    pub fn of(self, name: &str, offset: u64) -> Trouble {
        match self {
            Problem::Memory => Trouble::Memory,
            Problem::Text(problem) => Trouble::Corrupt {
                name: name.to_owned(),
                offset,
                problem,
            },
        }
    }
}

/// One partition, as its head in the footer says.
struct Part {
    sum: Sum,
    blocks: usize,
    longest: usize,
}

/// Goes through a footer, from front to back; nothing is believed that was not checked.
struct Parts<'a> {
    data: &'a [u8],
    position: usize,
    offset: u64, // of the next block
    end: u64,    // of the blocks
    partitions: usize,
}

impl<'a> Parts<'a> {
    fn new(data: &'a [u8], end: u64) -> Result<Self, Problem> {
        let mut parts = Parts {
            data,
            position: 0,
            offset: HEADER_BYTES,
            end,
            partitions: 0,
        };
        parts.number()?; // the version
        parts.partitions = parts.number()?;
        Ok(parts)
    }

    fn next_part(&mut self) -> Result<Part, Problem> {
        let (records, bytes) = (self.number()? as u64, self.number()? as u64);
        let fingerprint = u128::from_le_bytes(self.take()?);
        self.number()?; // groups
        Ok(Part {
            sum: Sum {
                records,
                bytes,
                fingerprint,
            },
            blocks: self.number()?,
            longest: self.number()?,
        })
    }

    fn next_block(&mut self) -> Result<Block, Problem> {
        let size = self.number()?;
        let [codec] = self.take()?;
        if codec != STORED && codec != LZ4 {
            let problem = format!("block codec {codec}, expected {STORED} or {LZ4}");
            return Err(Problem::Text(problem));
        }
        let checksum = u64::from_le_bytes(self.take()?);
        let block = Block {
            offset: self.offset,
            size: u32::try_from(size).map_err(|_| misfit())?,
            codec,
            checksum,
        };
        self.offset = self
            .offset
            .checked_add(size as u64)
            .filter(|&offset| offset <= self.end)
            .ok_or_else(misfit)?;
        Ok(block)
    }

    /// What the writer added, behind the last partition.
    fn extra(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.number()?;
        let extra = self.slice(length)?;
        if self.position != self.data.len() || self.offset != self.end {
            return Err(misfit());
        }
        Ok(extra)
    }

    fn number(&mut self) -> Result<usize, Problem> {
        let at = self.position;
        varint(self.data, &mut self.position)
            .ok_or_else(|| Problem::Text(format!("corrupt number at byte {at}: it does not end")))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.slice(N)?;
        taken.try_into().map_err(|_| misfit())
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (start, data) = (self.position, self.data);
        let found = start
            .checked_add(length)
            .and_then(|end| data.get(start..end));
        let found = found.ok_or_else(|| {
            let size = data.len();
            Problem::Text(format!(
                "corrupt data: it ends at byte {size}, expected {length} bytes at {start}"
            ))
        })?;
        self.position += length;
        Ok(found)
    }
}

fn misfit() -> Problem {
    Problem::Text("the footer does not fit the run".to_owned())
}

/// Records, bytes and fingerprint of each partition, and what the writer added.
type Sums<'py> = (Vec<(u64, u64, u128)>, Bound<'py, PyBytes>);

/// Return the sums of each partition in the footer `data` of the run `name`, whose blocks end at
/// `end`, and what the writer added.
#[pyfunction]
#[pyo3(signature = (name, data, end, /))]
pub fn footer_sums<'py>(py: Python<'py>, name: &str, data: &[u8], end: u64) -> PyResult<Sums<'py>> {
    let read = || {
        let mut parts = Parts::new(data, end)?;
        let mut sums = Vec::new();
        for _ in 0..parts.partitions {
            let part = parts.next_part()?;
            sums.try_reserve(1).map_err(|_| Problem::Memory)?;
            sums.push((part.sum.records, part.sum.bytes, part.sum.fingerprint));
            for _ in 0..part.blocks {
                parts.next_block()?;
            }
        }
        Ok((sums, parts.extra()?))
    };
    let (sums, extra) = read().map_err(|problem: Problem| problem.of(name, end).into_py(py))?;
    Ok((sums, bytes_from(py, extra)?))
}
