//! Built-in reducers from the merge to rows of output, without objects of Python between.
use crate::bytes;
use crate::combine::{Group, Mode};
use crate::merge::Merge;
use crate::output::{Pushed, RowWriter, Rows};
use crate::trouble::Trouble;
use pyo3::prelude::*;

/// Why the reduction has come back.
pub enum Stop {
    /// So many groups are done that it is time to say so.
    Tick,
    /// A block of rows is there to be written.
    Rows,
    /// Python must reduce the open group: its values from the merge's position on, behind `first`,
    /// an encoded value that stands for those before.
    Open { first: Option<Vec<u8>> },
    /// There are no more groups.
    End,
}

/// Reduces groups and appends the results to rows.
pub struct Reducer<'a> {
    writer: &'a RowWriter,
    mode: Mode,
    group: Group,
}

impl<'a> Reducer<'a> {
    pub fn new(writer: &'a RowWriter, mode: Mode) -> Self {
        Reducer {
            writer,
            mode,
            group: Group::new(mode),
        }
    }

    /// Go on in `merge`, to the end of the group with the number `last`.
    pub fn reduce(
        &mut self,
        py: Python<'_>,
        merge: &mut Merge,
        last: u64,
    ) -> Result<Stop, Trouble> {
        let mut rows = self.writer.take(py)?;
        let stop = match self.mode {
            Mode::Keep => copy_to(merge, &mut rows, last),
            _ => self.reduce_to(merge, &mut rows, last),
        };
        self.writer.put(py, rows);
        stop
    }

    fn reduce_to(
        &mut self,
        merge: &mut Merge,
        rows: &mut Rows,
        last: u64,
    ) -> Result<Stop, Trouble> {
        while merge.groups < last {
            if rows.is_full() {
                return Ok(Stop::Rows);
            }
            if !merge.next_group()? {
                return Ok(Stop::End);
            }
            let is_whole = self.add_values(merge)?;
            self.group.clear();
            self.group.close();
            let found = &self.group.passed;
            if !is_whole || rows.push_encoded_value(&merge.key, found)? == Pushed::NotPlain {
                let first = (self.group.count > 0).then(|| found.clone());
                return Ok(Stop::Open { first });
            }
        }
        Ok(Stop::Tick)
    }

    /// Take the values of the open group, up to one that cannot be combined; true if there is none.
    fn add_values(&mut self, merge: &mut Merge) -> Result<bool, Trouble> {
        self.group.clear();
        while merge.is_open {
            let entry = merge.entry();
            let data = entry.values();
            let mut position = 0;
            while position < data.len() {
                let Some(end) = bytes::end(data, position) else {
                    return Err(entry.corrupt());
                };
                self.group.add(&data[position..end]);
                if self.group.count > 0 {
                    merge.position = position;
                    return Ok(false);
                }
                position = end;
            }
            merge.position = position;
            merge.step()?;
        }
        Ok(true)
    }
}

/// Append a row for each value, from the merge's position in the open group on.
fn copy_to(merge: &mut Merge, rows: &mut Rows, last: u64) -> Result<Stop, Trouble> {
    loop {
        while merge.is_open {
            if let Some(stop) = copy_entry(merge, rows)? {
                return Ok(stop);
            }
            merge.step()?;
        }
        if merge.groups >= last {
            return Ok(Stop::Tick);
        }
        if !merge.next_group()? {
            return Ok(Stop::End);
        }
    }
}

/// Append the rows of an entry; None if there is room for all of them, and all are plain.
fn copy_entry(merge: &mut Merge, rows: &mut Rows) -> Result<Option<Stop>, Trouble> {
    let entry = merge.entry();
    let data = entry.values();
    let mut position = merge.position;
    let mut stop = None;
    while position < data.len() {
        if rows.is_full() {
            stop = Some(Stop::Rows);
            break;
        }
        let Some(end) = bytes::end(data, position) else {
            return Err(entry.corrupt());
        };
        if rows.push_encoded_value(&merge.key, &data[position..end])? == Pushed::NotPlain {
            stop = Some(Stop::Open { first: None });
            break;
        }
        position = end;
    }
    merge.position = position;
    Ok(stop)
}
