//! Runs that a writer made, and what becomes of them by chance.
use crate::bytes;
use crate::cursor::unpack;
use crate::footer::{Block, LZ4, STORED};
use crate::run_writer::{RunWriter, Sink};
use crate::trouble::Trouble;
use std::sync::{Arc, Mutex};

/// SplitMix64: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// A run in memory; clones are of the same one.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// What was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panicked").clone()
    }
}

impl Sink for Memory {
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble> {
        self.0
            .lock()
            .expect("nobody panicked")
            .extend_from_slice(data);
        Ok(())
    }
}

/// A block as it is stored: its bytes and its codec.
pub type Stored = (Vec<u8>, u8);

fn value(random: &mut Random, depth: usize, out: &mut Vec<u8>) {
    match random.below(if depth < 3 { 10 } else { 8 }) {
        0..=2 => out.push(random.below(0x83) as u8),
        3 => {
            let length = 1 + random.below(8);
            out.push(bytes::INT + length as u8);
            out.extend(random.bytes(length));
        }
        4 => {
            out.push(bytes::FLOAT);
            out.extend(random.bytes(8));
        }
        5..=7 => {
            let length = *random.of(&[0, 1, 5, 20, 127, 128, 300]);
            out.push(*random.of(&[bytes::STR, bytes::BYTES, bytes::PICKLE, bytes::BIG_INT]));
            bytes::put_varint(out, length);
            let plain = random.one_in(2);
            out.extend(
                random
                    .bytes(length)
                    .iter()
                    .map(|byte| if plain { b'a' } else { *byte }),
            );
        }
        _ => {
            out.push(*random.of(&[bytes::TUPLE, bytes::LIST, bytes::DICT]));
            let start = out.len();
            out.extend([0; 4]);
            for _ in 0..2 * random.below(3) {
                value(random, depth + 1, out);
            }
            let length = (out.len() - start - 4) as u32;
            out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// The blocks of a run as the writer makes them.
pub fn sample(random: &mut Random) -> Vec<Stored> {
    let mut keys: Vec<Vec<u8>> = (0..=random.below(6))
        .map(|_| {
            let length = *random.of(&[0, 1, 2, 7, 8, 9, 20, 130]);
            let tag = *random.of(&[0x20, 0x21, 0x40, 0x48, 0x50]);
            [vec![tag], random.bytes(length)].concat()
        })
        .collect();
    keys.sort();
    keys.dedup();
    let memory = Memory::default();
    let block_bytes = *random.of(&[1, 80, 300, 5000]);
    let mut out = done(RunWriter::new(memory.clone(), 1, block_bytes, true));
    for key in keys {
        done(out.start_group(0, &key));
        let (mut values, count) = (Vec::new(), 1 + random.below(3));
        let repeats = if random.one_in(20) { 40 } else { 1 };
        for _ in 0..count {
            value(random, 0, &mut values);
        }
        done(out.add_values((count * repeats) as u64, &values.repeat(repeats)));
    }
    let written = done(out.finish(b""));
    let bytes = memory.bytes();
    let block = |block: Block| {
        let start = block.offset as usize;
        (
            bytes[start..start + block.size as usize].to_vec(),
            block.codec,
        )
    };
    let index = &written.index;
    index.range(0).map(|at| block(index.block(at))).collect()
}

pub fn done<T>(result: Result<T, Trouble>) -> T {
    result.unwrap_or_else(|trouble| panic!("{}", text(&trouble)))
}

pub fn text(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Raised(_) | Trouble::Value(_) => "Python raised",
        Trouble::Corrupt { problem, .. } => problem,
        Trouble::Spill { .. } => "a spill failed",
        Trouble::Memory => "no memory",
    }
}

/// Change `data` in one to three ways; `other` is of another run.
fn mutate(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    const NUMBERS: [&[u8]; 9] = [
        &[0],
        &[0x7F],
        &[0x80, 0],
        &[0xFF; 4],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        &[0xFF; 12],
        &[0, 0, 0, 0x80],
        &[0x80, 0x80, 0x80, 0x80, 0x10],
    ];
    let changes = *random.of(&[1, 1, 1, 2, 3]);
    for _ in 0..changes {
        let at = random.below(data.len() + 1);
        let most = 1 + random.below(64);
        let end = at + random.below(most.min(data.len() - at + 1));
        match random.below(8) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.next() as u8,
            2 => data.truncate(at),
            3 => {
                let number = *random.of(&NUMBERS);
                data.splice(
                    at..(at + number.len()).min(data.len()),
                    number.iter().copied(),
                );
            }
            4 => drop(data.drain(at..end)),
            5 => {
                let twice = data[at..end].to_vec();
                data.splice(at..at, twice);
            }
            6 => {
                let start = random.below(other.len() + 1);
                let part = &other[start..other.len().min(start + random.below(200))];
                data.splice(at..end, part.iter().copied());
            }
            _ => {
                let length = random.below(12);
                let new = random.bytes(length);
                data.splice(at..end, new);
            }
        }
    }
}

fn packed(raw: &[u8]) -> Vec<u8> {
    [
        &(raw.len() as u32).to_le_bytes(),
        &lz4_flex::block::compress(raw)[..],
    ]
    .concat()
}

/// Mutated blocks: behind the compression, in it, or none of both but in other places.
pub fn mutated(random: &mut Random, samples: &[Vec<Stored>]) -> Vec<Stored> {
    let mut blocks = random.of(samples).clone();
    let other = random.of(samples)[0].0.clone();
    for _ in 0..=usize::from(random.one_in(4)) {
        let index = random.below(blocks.len());
        let (data, codec) = &mut blocks[index];
        if random.one_in(3) {
            mutate(random, data, &other);
            continue;
        }
        let mut raw = Vec::new();
        if *codec != LZ4 {
            raw.clone_from(data);
        } else if !matches!(unpack(data, &mut raw), Ok(Some(()))) {
            continue;
        }
        mutate(random, &mut raw, &other);
        (*data, *codec) = if random.one_in(2) {
            (raw, STORED)
        } else {
            (packed(&raw), LZ4)
        };
    }
    blocks
}
