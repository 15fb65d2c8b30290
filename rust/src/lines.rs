//! Where lines begin in a chunk of bytes, and how many they are: `\n` ends one, nothing else.
use pyo3::prelude::*;
use pyo3::types::PyList;

/// Return the number of `\n` in `data`.
pub fn count_newlines(data: &[u8]) -> usize {
    let is_newline = |&byte: &u8| u8::from(byte == b'\n');
    // 255 fit a byte: so the compiler adds up 16 and more at a time.
    data.chunks(255)
        .map(|chunk| usize::from(chunk.iter().map(is_newline).sum::<u8>()))
        .sum()
}

/// Return the offset of `data`, and the offsets behind each `\n` in it.
pub fn offsets<'py>(py: Python<'py>, offset: u64, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let mut offsets = Vec::with_capacity(count_newlines(data) + 1);
    offsets.push(offset);
    for (eight, at) in data.chunks(8).zip((0u64..).step_by(8)) {
        let mut word = [0; 8];
        word[..eight.len()].copy_from_slice(eight);
        let mut found = newlines(u64::from_le_bytes(word));
        while found != 0 {
            offsets.push(offset + at + u64::from(found.trailing_zeros() / 8) + 1);
            found &= found - 1;
        }
    }
    PyList::new(py, offsets)
}

/// Return a word with the high bit set of each byte that is `\n` in `word` (exactly these).
const fn newlines(word: u64) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let zero = word ^ 0x0A0A_0A0A_0A0A_0A0A;
    !(((zero & LOW) + LOW) | zero | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_a_newline_or_not() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let word = u64::from(byte) << (8 * place);
                let high = u64::from(byte == b'\n') << (8 * place + 7);
                assert_eq!(newlines(word), high);
            }
        }
    }

    #[test]
    fn all_newlines_are_counted() {
        for length in [0, 1, 254, 255, 256, 1000] {
            assert_eq!(count_newlines(&vec![b'\n'; length]), length);
            assert_eq!(count_newlines(&vec![b'a'; length]), 0);
        }
    }
}
