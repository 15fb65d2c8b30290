//! Plain cells of encoded keys and values (`docs/reference/keys-and-values.md`).
//!
//! What is not plain, and what is no key or value at all, is None: whoever then decodes it in
//! full finds out which.
use super::TUPLE_MAX;
use super::cell::Cell;
use crate::bytes::int_of;

const SIGN: u64 = 1 << 63;

/// Call `then` with the cell of an encoded key.
pub fn with_key<T>(key: &[u8], then: impl FnOnce(&Cell) -> T) -> Option<T> {
    let (&tag, rest) = key.split_first()?;
    match tag {
        0x40 => Some(then(&Cell::Str(utf8(rest)?))),
        0x48 => Some(then(&Cell::Bytes(rest))),
        0x50 => with_tuple(rest, then),
        _ => match number(tag, rest)? {
            (cell, []) => Some(then(&cell)),
            _ => None,
        },
    }
}

fn with_tuple<T>(mut rest: &[u8], then: impl FnOnce(&Cell) -> T) -> Option<T> {
    let mut cells = [Cell::Null; TUPLE_MAX];
    let mut count = 0;
    loop {
        let (&tag, behind) = rest.split_first()?;
        let cell = match tag {
            0x00 => break rest = behind,
            0x40 | 0x48 => {
                let end = behind.iter().position(|&byte| byte == 0)?;
                let data = &behind[..end];
                rest = &behind[end + 1..];
                if rest.first() == Some(&0xFF) {
                    return None; // A 00 in the data: it would have to be copied.
                }
                if tag == 0x40 {
                    Cell::Str(utf8(data)?)
                } else {
                    Cell::Bytes(data)
                }
            }
            _ => {
                let (cell, behind) = number(tag, behind)?;
                rest = behind;
                cell
            }
        };
        *cells.get_mut(count)? = cell;
        count += 1;
    }
    rest.is_empty().then(|| then(&Cell::Tuple(&cells[..count])))
}

/// Return the None, bool, int or float behind a tag of a key, and what stands behind it.
fn number(tag: u8, rest: &[u8]) -> Option<(Cell<'static>, &[u8])> {
    Some(match tag {
        0x02 => (Cell::Null, rest),
        0x04 | 0x05 => (Cell::Bool(tag == 0x05), rest),
        0x18..=0x28 => {
            let (magnitude, rest) = rest.split_at_checked(usize::from(tag.abs_diff(0x20)))?;
            let flip = if tag < 0x20 { 0xFF } else { 0x00 };
            let magnitude = magnitude
                .iter()
                .fold(0, |number, &byte| number << 8 | i128::from(byte ^ flip));
            let number = if tag < 0x20 { -magnitude } else { magnitude };
            (Cell::Wide(number), rest)
        }
        0x38 => {
            let (bits, rest) = rest.split_first_chunk()?;
            let bits = u64::from_be_bytes(*bits);
            let bits = if bits & SIGN == 0 { !bits } else { bits ^ SIGN };
            (Cell::Float(f64::from_bits(bits)), rest)
        }
        _ => return None,
    })
}

/// Return the cell of an encoded value that is no container.
pub fn value(data: &[u8]) -> Option<Cell<'_>> {
    let (&tag, rest) = data.split_first()?;
    let cell = match tag {
        0x00..=0x7F => Cell::Int(i64::from(tag) - 16),
        0x80 => Cell::Null,
        0x81 | 0x82 => Cell::Bool(tag == 0x82),
        0x83 => return Some(Cell::Float(f64::from_le_bytes(rest.try_into().ok()?))),
        0x84 => return Some(Cell::Str(utf8(sized(rest)?)?)),
        0x85 => return Some(Cell::Bytes(sized(rest)?)),
        0x87 => return sized(rest).and_then(|_| int_of(data)).map(Cell::Wide),
        0x91..=0x98 if rest.len() == usize::from(tag - 0x90) => {
            let is_negative = rest.last()? & 0x80 != 0;
            let mut bytes = [if is_negative { 0xFF } else { 0x00 }; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            return Some(Cell::Int(i64::from_le_bytes(bytes)));
        }
        _ => return None,
    };
    rest.is_empty().then_some(cell)
}

/// Return the bytes behind a varint that says how many they are, if they are all there is.
fn sized(data: &[u8]) -> Option<&[u8]> {
    let mut length = 0u64;
    for (index, &byte) in data.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = &data[index + 1..];
            return (rest.len() as u64 == length).then_some(rest);
        }
    }
    None
}

fn utf8(data: &[u8]) -> Option<&[u8]> {
    std::str::from_utf8(data).ok().map(str::as_bytes)
}
