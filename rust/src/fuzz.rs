//! Mutated runs: whatever stands behind a right checksum, reading it ends in entries or an error.
//!
//! A checksum finds accidents; nobody who can compute one may get more than a `Trouble` from a
//! reader: no panic, no abort, no loop, and no memory beyond what an honest run of that size
//! takes. What is read and written again comes back the same.
//!
//! `PYMR_FUZZ_MINUTES=10 PYMR_FUZZ_SEED=7 cargo test fuzz` goes on for longer, elsewhere.
mod sample;

use crate::bytes;
use crate::combine::{Group, Mode};
use crate::cursor::{Cursor, Source};
use crate::footer::{Block, HEADER_BYTES, Index};
use crate::merge::Merge;
use crate::output;
use crate::run_writer::RunWriter;
use crate::trouble::Trouble;
use crate::value_order::order_of;
use sample::{Memory, Random, Stored, done, mutated, sample, text};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const CASES: u64 = 5000; // of one `cargo test`: about a second
const SAMPLES: usize = 40;
const AHEAD_BYTES: [usize; 3] = [0, 300, 1 << 20];
const MEMORY_BYTES_MAX: u64 = 2 << 30; // of the address space, where this is all that runs

/// One entry: key, number of values, values.
type Entry = (Vec<u8>, u64, Vec<u8>);

/// Write the blocks as a run to `file`, and return its index with right checksums, mostly.
fn lay(random: &mut Random, file: &File, blocks: &[Stored]) -> Vec<Block> {
    let mut index = Vec::new();
    let mut data = vec![0; HEADER_BYTES as usize];
    for (stored, codec) in blocks {
        index.push(Block {
            offset: data.len() as u64,
            size: stored.len() as u32,
            codec: *codec,
            checksum: xxh3_64(stored),
        });
        data.extend_from_slice(stored);
    }
    if random.one_in(12) {
        let number = random.below(index.len());
        let block = &mut index[number];
        match random.below(5) {
            0 => block.size = *random.of(&[0, 1, 1 << 20, u32::MAX]),
            1 => block.offset = *random.of(&[0, 1, 1 << 40, u64::MAX, u64::MAX - 5]),
            2 => block.codec = random.next() as u8,
            3 => block.checksum ^= 1,
            _ => index.swap(0, number),
        }
    }
    if random.one_in(20) {
        data.truncate(random.below(data.len()));
    }
    file.set_len(0)
        .and_then(|()| file.write_all_at(&data, 0))
        .expect("a file in TMPDIR");
    index
}

/// Where one run lies.
struct Place {
    path: PathBuf,
    file: File,
}

impl Place {
    fn new(name: &str) -> Self {
        let memory = PathBuf::from("/dev/shm"); // a disk would have to keep each case
        let folder = if memory.is_dir() {
            memory
        } else {
            env::temp_dir()
        };
        let path = folder.join(format!("pymr-fuzz-{}-{name}", std::process::id()));
        let file = File::create(&path).expect("a file in TMPDIR");
        Place { path, file }
    }

    fn open(&self, blocks: &[Block], ahead: usize, counted: bool) -> Result<Cursor, Trouble> {
        let source = Source {
            name: "fuzz".to_owned(),
            path: Some(self.path.clone()),
            shift: 0,
            read_at: None,
            folder: None,
        };
        let mut index = Index::default();
        for &block in blocks {
            index.push(block, 0)?;
        }
        index.end_partition()?;
        Cursor::open(Arc::new(source), Arc::new(index), 0, ahead, counted, false)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// All entries, each checked as far as the engine relies on it.
fn read(mut cursor: Cursor, counted: bool, size_max: usize) -> Result<Vec<Entry>, Trouble> {
    let mut entries = Vec::new();
    while !cursor.done {
        let (key, values) = (cursor.key(), cursor.values());
        assert!(entries.len() * 3 <= size_max, "more entries than bytes");
        look_at(key, values, cursor.count, counted);
        entries.push((key.to_vec(), cursor.count, values.to_vec()));
        cursor.advance()?;
    }
    Ok(entries)
}

/// Walk over the values as reducers, combiners and writers do.
fn look_at(key: &[u8], values: &[u8], count: u64, counted: bool) {
    let (mut position, mut found) = (0, 0);
    let mut scratch = Vec::new();
    while position < values.len() {
        let Some(end) = bytes::end(values, position) else {
            assert!(!counted, "a value without an end");
            break;
        };
        let value = &values[position..end];
        scratch.clear();
        let is_key = order_of(value, &mut scratch);
        assert!(is_key.is_none() || !scratch.is_empty());
        bytes::int_of(value);
        output::fuzz_cells(key, value);
        (position, found) = (end, found + 1);
    }
    assert!(
        !counted || found == count,
        "{found} values where {count} are said to be"
    );
}

/// Write entries as the merge of one run, and return those that are read again, in groups.
fn written_again(place: &Place, entries: &[Entry]) -> Vec<Entry> {
    let memory = Memory::default();
    let mut out = done(RunWriter::new(memory.clone(), 1, 200, true));
    for (key, count, values) in entries {
        done(out.start_group(0, key));
        done(out.add_values(*count, values));
    }
    let written = done(out.finish(b""));
    place
        .file
        .set_len(0)
        .and_then(|()| place.file.write_all_at(&memory.bytes(), 0))
        .expect("TMPDIR");
    let index = &written.index;
    let blocks: Vec<Block> = index.range(0).map(|at| index.block(at)).collect();
    let cursor = done(place.open(&blocks, 1 << 20, true));
    done(read(cursor, true, usize::MAX))
}

/// Join neighbours of one key.
fn groups(entries: Vec<Entry>) -> Vec<Entry> {
    let mut groups: Vec<Entry> = Vec::new();
    for (key, count, values) in entries {
        match groups.last_mut() {
            Some(last) if last.0 == key => {
                last.1 += count;
                last.2.extend_from_slice(&values);
            }
            _ => groups.push((key, count, values)),
        }
    }
    groups
}

/// Merge the run with itself and a sound one, into a run that is dropped.
fn merge(cursors: Vec<Cursor>, mode: Mode) -> Result<(), Trouble> {
    let memory = Memory::default();
    let mut out = RunWriter::new(memory, 1, 300, mode == Mode::Keep)?;
    Merge::new(cursors).write_into(&mut out, 0, mode)?;
    out.finish(b"").map(drop)
}

#[test]
fn a_mutated_run_ends_in_entries_that_come_back_or_in_an_error() {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let minutes = number("PYMR_FUZZ_MINUTES");
    let seed = number("PYMR_FUZZ_SEED").unwrap_or(1);
    if minutes.is_some() {
        let limit = libc::rlimit {
            rlim_cur: MEMORY_BYTES_MAX,
            rlim_max: MEMORY_BYTES_MAX,
        };
        // SAFETY: it reads two numbers.
        assert_eq!(
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) },
            0
        );
    }
    let started = Instant::now();
    let lasts = Duration::from_secs(60 * minutes.unwrap_or(0));
    let mut random = Random(seed);
    let mut samples: Vec<Vec<Stored>> = (0..SAMPLES).map(|_| sample(&mut random)).collect();
    let places = [Place::new("bad"), Place::new("good"), Place::new("new")];
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut case = 0;
    while if minutes.is_some() {
        started.elapsed() < lasts
    } else {
        case < CASES
    } {
        let mut random = Random(seed ^ case << 20);
        if case % 100_000 == 99_999 {
            samples[random.below(SAMPLES)] = sample(&mut random);
        }
        let tried = catch_unwind(AssertUnwindSafe(|| {
            one_case(&mut random, &samples, &places)
        }));
        let end = tried.unwrap_or_else(|_| panic!("in case {case} of seed {seed}"));
        *ends.entry(end).or_default() += 1;
        case += 1;
    }
    assert!(ends.len() >= 5, "hardly anything was tried: {ends:?}");
    println!("{case} cases with seed {seed}: {ends:#?}");
}

/// A problem without its numbers.
fn kind(problem: &str) -> String {
    problem.replace(|letter: char| letter.is_ascii_digit(), "")
}

/// Return how it ended.
fn one_case(random: &mut Random, samples: &[Vec<Stored>], places: &[Place; 3]) -> String {
    let [bad, good, new] = places;
    let blocks = mutated(random, samples);
    let index = lay(random, &bad.file, &blocks);
    let counted = !random.one_in(3);
    let ahead = *random.of(&AHEAD_BYTES);
    let size_max = 256 * blocks.iter().map(|block| block.0.len()).sum::<usize>();
    let open = || bad.open(&index, ahead, counted);
    let end = match open().and_then(|cursor| read(cursor, counted, size_max)) {
        Ok(entries) => {
            if counted {
                let expected = groups(entries.clone());
                assert_eq!(groups(written_again(new, &entries)), expected);
            }
            "entries".to_owned()
        }
        Err(trouble @ Trouble::Corrupt { .. }) => kind(text(&trouble)),
        Err(trouble) => panic!("{}", text(&trouble)),
    };
    if random.one_in(4) {
        let sound = random.of(samples);
        let index = lay(&mut Random(1), &good.file, sound);
        let sound = || good.open(&index, ahead, true);
        let mode = *random.of(&[Mode::Keep, Mode::Sum, Mode::Min, Mode::Max]);
        let cursors = [open(), sound(), open()]
            .into_iter()
            .collect::<Result<Vec<_>, _>>();
        if let Err(trouble) = cursors.and_then(|cursors| merge(cursors, mode)) {
            assert!(
                matches!(trouble, Trouble::Corrupt { .. }),
                "{}",
                text(&trouble)
            );
        }
        let mut group = Group::new(mode);
        for (data, _) in &blocks {
            group.add(data);
        }
        group.close();
    }
    end
}
