//! The groups of a merge, for a function that is called for groups of two values or more: the first
//! value is held back until it is known whether there is another.
use crate::combiner::Groups;
use crate::group_values::OpenGroup;
use crate::merge::Merge;
use crate::trouble::Trouble;

/// The groups of one partition.
pub struct MergedGroups {
    pub merge: Merge,
    partition: usize,
    held: Vec<u8>, // the first value of the group
    is_held: bool, // and it comes before the entry of the merge
    position: usize,
}

impl MergedGroups {
    /// Go through `merge`, which is that of `partition`.
    pub fn new(merge: Merge, partition: usize) -> Self {
        MergedGroups {
            merge,
            partition,
            held: Vec::new(),
            is_held: false,
            position: 0,
        }
    }
}

impl OpenGroup for MergedGroups {
    fn is_open(&self) -> bool {
        self.is_held || self.merge.is_open
    }

    fn values(&self) -> &[u8] {
        if self.is_held {
            &self.held
        } else {
            self.merge.entry().values()
        }
    }

    fn count(&self) -> u64 {
        if self.is_held {
            1
        } else {
            self.merge.entry().count
        }
    }

    fn position(&self) -> usize {
        self.position
    }

    fn set_position(&mut self, position: usize) {
        self.position = position;
    }

    fn step(&mut self) -> Result<(), Trouble> {
        self.position = 0;
        if self.is_held {
            self.is_held = false;
            return Ok(());
        }
        self.merge.step()
    }

    fn corrupt(&self) -> Trouble {
        self.merge.entry().corrupt()
    }
}

impl Groups for MergedGroups {
    fn next_group(&mut self) -> Result<bool, Trouble> {
        self.is_held = false;
        self.position = 0;
        self.merge.next_group()
    }

    fn is_single(&mut self) -> Result<bool, Trouble> {
        let entry = self.merge.entry();
        if entry.count != 1 {
            return Ok(false);
        }
        self.held.clear();
        self.held.try_reserve(entry.values().len())?;
        self.held.extend_from_slice(entry.values());
        self.is_held = true;
        self.merge.step()?;
        Ok(!self.merge.is_open)
    }

    fn partition(&self) -> usize {
        self.partition
    }

    fn key(&self) -> &[u8] {
        &self.merge.key
    }

    fn total(&self) -> u64 {
        self.merge.count
    }
}
