//! The partitions of a run with `--sort`: ranges of keys, so that the parts are in order, too.
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;

/// The first encoded key of each partition but the first, ascending.
pub struct Ranges(Vec<Vec<u8>>);

impl Ranges {
    /// The ranges between `boundaries`, if there are any to speak of.
    pub fn of(boundaries: Option<Vec<Vec<u8>>>, partitions: usize) -> PyResult<Option<Self>> {
        match boundaries {
            Some(list) if list.len() >= partitions => {
                Err(PyValueError::new_err("as many boundaries as partitions"))
            }
            boundaries => Ok(boundaries.map(Ranges)),
        }
    }

    /// The partition of `key`, which is no less than a key of partition `from`.
    ///
    /// Records that are sorted by key need no partition before: it only ever goes up.
    #[inline]
    pub fn advance(&self, mut from: usize, key: &[u8]) -> usize {
        while self
            .0
            .get(from)
            .is_some_and(|boundary| &boundary[..] <= key)
        {
            from += 1;
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_the_first_key_of_its_partition() {
        let ranges = Ranges(vec![b"b".to_vec(), b"c".to_vec(), b"c".to_vec()]);
        let mut partition = 0;
        for (key, expected) in [("a", 0), ("b", 1), ("bz", 1), ("c", 3), ("d", 3)] {
            partition = ranges.advance(partition, key.as_bytes());
            assert_eq!(partition, expected, "{key}");
            assert_eq!(ranges.advance(0, key.as_bytes()), expected, "{key}");
        }
        assert_eq!(Ranges(Vec::new()).advance(0, b"any"), 0);
    }
}
