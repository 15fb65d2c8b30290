//! Writes a sorted run: entries in (partition, key) order, in compressed, checked blocks.
//!
//! The format is that of `docs/reference/sorted-run-format.md`.
use crate::bytes::{self, put_varint};
use crate::fingerprint::{Hasher, Sum};
use crate::footer::{Block, Index, LZ4, STORED, VERSION};
use crate::trouble::Trouble;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

const MAGIC: &[u8; 8] = b"PyMRrun\n";
const PIECE_BYTES: usize = 1 << 20; // one call of the sink for each MiB
const VARINTS_BYTES_MAX: usize = 30; // of the three numbers before an entry's values
const KEPT_BYTES_MAX: usize = 1 << 20; // of a block that is written, kept for the next one
const RETRY_BLOCKS: u32 = 16; // data that does not compress is tried again this often

/// Where the bytes of a run go.
pub trait Sink: Send {
    /// Append `data`.
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble>;
}

/// What is known of a run that was written.
pub struct Written {
    pub index: Index,
    pub sum: Sum,
    pub digest: u128,
    pub size: u64,
}

/// Writes one run; keeps one block and one piece of output in memory.
pub struct RunWriter {
    sink: Box<dyn Sink>,
    partitions: usize,
    block_bytes: usize,
    with_sums: bool,
    piece: Vec<u8>,
    size: u64,
    block: Vec<u8>,
    packed: Vec<u8>,
    stored_in_row: u32, // blocks that did not compress
    key: Vec<u8>,
    hasher: Hasher,
    sum: Sum, // of the partition, as is all below
    groups: u64,
    longest: usize, // bytes of a block, before it was compressed
    index: Index,
    total: Sum,
    footer: Vec<u8>,
}

impl RunWriter {
    /// Start a run. A spill is written without sums, which nobody reads.
    pub fn new(
        sink: impl Sink + 'static,
        partitions: usize,
        block_bytes: usize,
        with_sums: bool,
    ) -> Result<Self, Trouble> {
        let mut writer = RunWriter {
            sink: Box::new(sink),
            partitions,
            block_bytes,
            with_sums,
            piece: Vec::new(),
            size: 0,
            block: Vec::new(),
            packed: Vec::new(),
            stored_in_row: 0,
            key: Vec::new(),
            hasher: Hasher::default(),
            sum: Sum::default(),
            groups: 0,
            longest: 0,
            index: Index::default(),
            total: Sum::default(),
            footer: Vec::new(),
        };
        put_varint(&mut writer.footer, usize::from(VERSION));
        put_varint(&mut writer.footer, partitions);
        writer.put(MAGIC)?;
        writer.put(&u32::from(VERSION).to_le_bytes())?;
        Ok(writer)
    }

    /// Start the group of `key`; (partition, key) is greater than the last one.
    #[inline]
    pub fn start_group(&mut self, partition: usize, key: &[u8]) -> Result<(), Trouble> {
        while self.index.partitions() < partition {
            self.end_partition()?;
        }
        self.groups += 1;
        self.key.clear();
        self.key.extend_from_slice(key);
        Ok(())
    }

    /// Append `count` values to the group, back to back; maybe none.
    #[inline]
    pub fn add_values(&mut self, count: u64, values: &[u8]) -> Result<(), Trouble> {
        let need = self.key.len() + values.len() + VARINTS_BYTES_MAX;
        if self.block.len() + need <= self.block_bytes {
            return self.entry(count, values);
        }
        self.add_in_pieces(values)
    }

    /// Write the footer with `extra`, and return what was written.
    pub fn finish(mut self, extra: &[u8]) -> Result<Written, Trouble> {
        while self.index.partitions() < self.partitions {
            self.end_partition()?;
        }
        let mut footer = std::mem::take(&mut self.footer);
        put_varint(&mut footer, extra.len());
        footer.extend_from_slice(extra);
        let digest = xxh3_128(&footer);
        self.put(&footer)?;
        self.put(&(footer.len() as u64).to_le_bytes())?;
        self.put(&digest.to_be_bytes())?;
        self.put(&u32::from(VERSION).to_le_bytes())?;
        self.put(MAGIC)?;
        self.end_piece()?;
        Ok(Written {
            index: self.index,
            sum: self.total,
            digest,
            size: self.size,
        })
    }

    /// Cut the values where blocks end; a value larger than a block has one for itself.
    #[cold]
    fn add_in_pieces(&mut self, values: &[u8]) -> Result<(), Trouble> {
        let (mut start, mut position, mut count) = (0, 0, 0);
        while position < values.len() {
            let end = bytes::end(values, position).unwrap_or(values.len());
            let need = self.key.len() + (end - start) + VARINTS_BYTES_MAX;
            if self.block.len() + need > self.block_bytes && (!self.block.is_empty() || count > 0) {
                self.entry(count, &values[start..position])?;
                self.end_block()?;
                (start, count) = (position, 0);
            }
            count += 1;
            position = end;
        }
        self.entry(count, &values[start..])
    }

    #[inline]
    fn entry(&mut self, count: u64, values: &[u8]) -> Result<(), Trouble> {
        if count == 0 {
            return Ok(());
        }
        let need = self.key.len() + values.len() + VARINTS_BYTES_MAX;
        if self.block.capacity() - self.block.len() < need {
            self.block.try_reserve(need.max(self.block_bytes))?;
        }
        put_varint(&mut self.block, self.key.len());
        self.block.extend_from_slice(&self.key);
        put_varint(&mut self.block, count as usize);
        put_varint(&mut self.block, values.len());
        self.block.extend_from_slice(values);
        if self.with_sums {
            self.hasher.add(&mut self.sum, &self.key, values);
        } else {
            self.sum.records += count;
            self.sum.bytes += count * self.key.len() as u64 + values.len() as u64;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), Trouble> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let packed = self.pack(&block)?;
        let codec = if packed { LZ4 } else { STORED };
        let data = if packed {
            std::mem::take(&mut self.packed)
        } else {
            Vec::new()
        };
        let stored: &[u8] = if packed { &data } else { &block };
        let written = Block {
            offset: self.size,
            size: stored.len() as u32, // a record has at most 1 GiB (`shuffle/engine.py`)
            codec,
            checksum: xxh3_64(stored),
        };
        self.index.push(written, block.len())?;
        self.longest = self.longest.max(block.len());
        self.put(stored)?;
        if block.capacity() <= KEPT_BYTES_MAX {
            self.block = block;
            self.block.clear();
        }
        if data.capacity() > 0 && data.capacity() <= KEPT_BYTES_MAX {
            self.packed = data;
        }
        Ok(())
    }

    /// Compress the block to `packed`; false where it is not worth its while.
    fn pack(&mut self, block: &[u8]) -> Result<bool, Trouble> {
        if self.stored_in_row >= 2 && !self.stored_in_row.is_multiple_of(RETRY_BLOCKS) {
            self.stored_in_row += 1;
            return Ok(false);
        }
        let room = 4 + lz4_flex::block::get_maximum_output_size(block.len());
        self.packed.clear();
        self.packed.try_reserve(room)?;
        self.packed.resize(room, 0);
        self.packed[..4].copy_from_slice(&(block.len() as u32).to_le_bytes());
        let length = lz4_flex::block::compress_into(block, &mut self.packed[4..]);
        let size = 4 + length.unwrap_or(block.len());
        let packed = size < block.len() / 16 * 15;
        self.packed.truncate(size);
        self.stored_in_row = if packed { 0 } else { self.stored_in_row + 1 };
        Ok(packed)
    }

    fn end_partition(&mut self) -> Result<(), Trouble> {
        self.end_block()?;
        let blocks = self.index.end_partition()?;
        put_varint(&mut self.footer, self.sum.records as usize);
        put_varint(&mut self.footer, self.sum.bytes as usize);
        self.footer.extend(self.sum.fingerprint.to_le_bytes());
        put_varint(&mut self.footer, self.groups as usize);
        put_varint(&mut self.footer, blocks.len());
        put_varint(&mut self.footer, self.longest);
        for block in blocks {
            put_varint(&mut self.footer, block.size as usize);
            self.footer.push(block.codec);
            self.footer.extend(block.checksum.to_le_bytes());
        }
        self.total.add(&self.sum);
        self.sum = Sum::default();
        (self.groups, self.longest) = (0, 0);
        Ok(())
    }

    fn put(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.size += data.len() as u64;
        if self.piece.len() + data.len() > PIECE_BYTES {
            self.end_piece()?;
        }
        if data.len() > PIECE_BYTES {
            return data
                .chunks(PIECE_BYTES)
                .try_for_each(|piece| self.sink.write(piece));
        }
        self.piece.try_reserve(data.len())?;
        self.piece.extend_from_slice(data);
        Ok(())
    }

    fn end_piece(&mut self) -> Result<(), Trouble> {
        self.sink.write(&self.piece)?;
        self.piece.clear();
        Ok(())
    }
}
