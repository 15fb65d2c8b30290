//! Encoded bytes that grow up to a limit: what is larger is refused before it is copied, and where
//! memory ends an exception is raised, not the process ended.
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

/// No limit: more than any memory holds.
pub const UNLIMITED: usize = isize::MAX as usize;

/// Appends one key or value to some bytes.
pub struct Bounded<'a> {
    data: &'a mut Vec<u8>,
    start: usize,
    what: &'static str,
    size_max: usize,
    pub is_part: bool, // what comes next is a part of the whole
}

impl<'a> Bounded<'a> {
    /// Append a key of at most `size_max` bytes to `data`.
    pub fn key(data: &'a mut Vec<u8>, size_max: usize) -> Self {
        Self::new(data, "key", size_max)
    }

    /// Append a value of at most `size_max` bytes to `data`.
    pub fn value(data: &'a mut Vec<u8>, size_max: usize) -> Self {
        Self::new(data, "value", size_max)
    }

    fn new(data: &'a mut Vec<u8>, what: &'static str, size_max: usize) -> Self {
        let start = data.len();
        Bounded {
            data,
            start,
            what,
            size_max,
            is_part: false,
        }
    }

    /// Return where `length` more bytes, and no more, are to be appended.
    #[inline]
    pub fn room(&mut self, length: usize) -> PyResult<&mut Vec<u8>> {
        if length > self.left() {
            return Err(self.too_large(length));
        }
        if length > self.data.capacity() - self.data.len() {
            self.grow(length)?;
        }
        Ok(self.data)
    }

    /// How many bytes may still come.
    #[inline]
    pub fn left(&self) -> usize {
        self.size_max - self.size()
    }

    /// How many bytes there are.
    #[inline]
    pub fn size(&self) -> usize {
        self.data.len() - self.start
    }

    /// The bytes so far.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.data[self.start..]
    }

    /// Begin again, as a whole.
    pub fn restart(&mut self) {
        self.data.truncate(self.start);
        self.is_part = false;
    }

    /// The error of `length` more bytes; how many the whole would be is known of a whole only.
    #[cold]
    pub fn too_large(&self, length: usize) -> PyErr {
        let at_least = if self.is_part { "at least " } else { "" };
        PyValueError::new_err(format!(
            "a {} of {at_least}{} bytes is larger than the limit of {} bytes",
            self.what,
            self.size().saturating_add(length),
            self.size_max
        ))
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, length: usize) -> PyResult<()> {
        self.data
            .try_reserve(length.max(64))
            .map_err(|_| PyMemoryError::new_err(format!("no memory is left for a {}", self.what)))
    }
}
