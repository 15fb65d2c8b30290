//! Merges cursors by a loser tree; equal keys come in the order of the cursors.
//!
//! Knuth, TAOCP 3, §5.4.1: each inner node holds the loser of a match, so the next winner is
//! found with one match a level.
use crate::combine::{Group, Mode};
use crate::cursor::Cursor;
use crate::fingerprint::Sum;
use crate::record_groups::Combined;
use crate::run_writer::RunWriter;
use crate::trouble::Trouble;
use std::cmp::Ordering;

const NOBODY: u32 = u32::MAX;

/// The merge of some cursors, group by group.
pub struct Merge {
    cursors: Vec<Cursor>,
    tree: Vec<u32>, // tree[0] is the winner, the others the losers of each match
    pub key: Vec<u8>,
    prefix: u64,         // of the key, as cursors have it
    pub is_open: bool,   // the winner's entry belongs to the group
    pub position: usize, // in the values of that entry
    pub count: u64,      // values of the group so far
    pub reduced: u64,    // values of all groups so far
    pub groups: u64,
    pub largest: u64,
    pub largest_key: Vec<u8>,
}

impl Merge {
    /// Merge `cursors`, which stand at their first entries.
    pub fn new(cursors: Vec<Cursor>) -> Self {
        let count = cursors.len();
        let mut merge = Merge {
            cursors,
            tree: vec![NOBODY; count.max(1)],
            key: Vec::new(),
            prefix: 0,
            is_open: false,
            position: 0,
            count: 0,
            reduced: 0,
            groups: 0,
            largest: 0,
            largest_key: Vec::new(),
        };
        for index in 0..count as u32 {
            merge.enter(index);
        }
        merge
    }

    /// Go to the next group, past what is left of this one; false at the end.
    #[inline]
    pub fn next_group(&mut self) -> Result<bool, Trouble> {
        while self.is_open {
            self.step()?;
        }
        if self.count > self.largest {
            self.largest = self.count;
            self.largest_key.clear();
            self.largest_key.extend_from_slice(&self.key);
        }
        self.count = 0;
        let Some(winner) = self.winner() else {
            return Ok(false);
        };
        let cursor = &self.cursors[winner];
        let key = cursor.key();
        if cursor.prefix <= self.prefix && key < &self.key[..] {
            return Err(cursor.disorder()); // or a group would come in two parts
        }
        self.prefix = cursor.prefix;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.groups += 1;
        self.open(winner);
        Ok(true)
    }

    /// The cursor at the current entry of the group, which is open.
    #[inline]
    pub fn entry(&self) -> &Cursor {
        &self.cursors[self.tree[0] as usize]
    }

    /// Go to the next entry of the group; `is_open` is false behind the last.
    #[inline]
    pub fn step(&mut self) -> Result<(), Trouble> {
        let winner = self.tree[0] as usize;
        self.cursors[winner].advance()?;
        self.replay();
        self.is_open = false;
        if let Some(winner) = self.winner()
            && self.cursors[winner].key() == &self.key[..]
        {
            self.open(winner);
        }
        Ok(())
    }

    /// What was read of counted runs.
    pub fn read(&self) -> Sum {
        let mut sum = Sum::default();
        for cursor in &self.cursors {
            sum.add(&cursor.sum());
        }
        sum
    }

    /// Write all groups, combined, as `partition` of `out`.
    pub fn write_into(
        &mut self,
        out: &mut RunWriter,
        partition: usize,
        mode: Mode,
    ) -> Result<Combined, Trouble> {
        let mut combined = Combined::default();
        let mut group = Group::new(mode);
        while self.next_group()? {
            out.start_group(partition, &self.key)?;
            while self.is_open {
                let entry = self.entry();
                if group.put(entry.count, entry.values(), out)?.is_none() {
                    return Err(entry.corrupt());
                }
                self.step()?;
            }
            let written = group.end(out)?;
            if mode != Mode::Keep && self.count > 1 {
                combined.values_in += self.count;
                combined.values_out += written;
            }
        }
        Ok(combined)
    }

    /// Begin the entry of `winner` as a part of the group.
    #[inline]
    fn open(&mut self, winner: usize) {
        let count = self.cursors[winner].count;
        self.count += count;
        self.reduced += count;
        self.position = 0;
        self.is_open = true;
    }

    #[inline]
    fn winner(&self) -> Option<usize> {
        let winner = self.tree[0] as usize;
        self.cursors.get(winner).filter(|cursor| !cursor.done)?;
        Some(winner)
    }

    #[inline]
    fn is_before(&self, one: u32, other: u32) -> bool {
        let (a, b) = (&self.cursors[one as usize], &self.cursors[other as usize]);
        if a.done || b.done {
            return !a.done || (b.done && one < other);
        }
        if a.prefix != b.prefix {
            return a.prefix < b.prefix;
        }
        match a.key().cmp(b.key()) {
            Ordering::Equal => one < other,
            order => order.is_lt(),
        }
    }

    /// First filling of the tree: a contestant waits at the first empty node that it meets.
    fn enter(&mut self, mut winner: u32) {
        let mut node = (winner as usize + self.cursors.len()) / 2;
        while node > 0 {
            let other = self.tree[node];
            if other == NOBODY {
                self.tree[node] = winner;
                return;
            }
            if self.is_before(other, winner) {
                self.tree[node] = winner;
                winner = other;
            }
            node /= 2;
        }
        self.tree[0] = winner;
    }

    /// Play the matches of the last winner again, now that it stands at another entry.
    #[inline]
    fn replay(&mut self) {
        let mut winner = self.tree[0];
        let mut node = (winner as usize + self.cursors.len()) / 2;
        while node > 0 {
            let other = self.tree[node];
            if self.is_before(other, winner) {
                self.tree[node] = winner;
                winner = other;
            }
            node /= 2;
        }
        self.tree[0] = winner;
    }
}
