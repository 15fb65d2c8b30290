//! Encoded values without Python: where they end, and the ints among them.
//!
//! The layout is that of `docs/reference/keys-and-values.md`. Nothing here trusts its input: what
//! does not end within the bytes given is `None`.

pub const NONE: u8 = 0x80;
pub const FALSE: u8 = 0x81;
pub const TRUE: u8 = 0x82;
pub const FLOAT: u8 = 0x83;
pub const STR: u8 = 0x84;
pub const BYTES: u8 = 0x85;
pub const PICKLE: u8 = 0x86;
pub const BIG_INT: u8 = 0x87;
pub const TUPLE: u8 = 0x88;
pub const LIST: u8 = 0x89;
pub const DICT: u8 = 0x8A;
pub const INT: u8 = 0x90; // + n: n bytes, two's complement
pub const SMALL_MIN: i64 = -16; // one byte: the int + 16
pub const SMALL_MAX: i64 = 111;
pub const SMALL_LAST: u8 = 0x7F;
const INT_LAST: u8 = INT + 8;

/// The encoding of an `i64`, in the low bytes of a number, and how many they are: 1 to 9.
#[inline]
pub fn int_bytes(value: i64) -> (u128, usize) {
    if (SMALL_MIN..=SMALL_MAX).contains(&value) {
        return ((value - SMALL_MIN) as u128, 1);
    }
    let bits = 65 - (value ^ (value >> 63)).leading_zeros() as usize; // with the sign
    let length = bits.div_ceil(8);
    let tag = u128::from(INT) + length as u128;
    (tag | u128::from(value as u64) << 8, length + 1)
}

/// Append an int that may be larger than an `i64`.
pub fn put_int(out: &mut Vec<u8>, value: i128) {
    if let Ok(short) = i64::try_from(value) {
        let (data, length) = int_bytes(short);
        out.extend_from_slice(&data.to_le_bytes()[..length]);
        return;
    }
    let bits = 129 - (value ^ (value >> 127)).leading_zeros() as usize;
    let length = bits.div_ceil(8);
    out.push(BIG_INT);
    put_varint(out, length);
    out.extend_from_slice(&value.to_le_bytes()[..length]);
}

/// Append 7 bits a byte, the least significant first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes `put_varint` appends.
#[inline]
pub fn varint_size(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// The number at `position`, which moves behind it.
#[inline]
pub fn varint(data: &[u8], position: &mut usize) -> Option<usize> {
    let first = *data.get(*position)?;
    *position += 1;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let mut number = u128::from(first & 0x7F);
    for shift in (7..70).step_by(7) {
        let byte = *data.get(*position)?;
        *position += 1;
        number |= u128::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// The position behind the value at `position`, which lies within `data`.
#[inline]
pub fn end(data: &[u8], position: usize) -> Option<usize> {
    let tag = *data.get(position)?;
    let end = match tag {
        0..=TRUE => return Some(position + 1),
        _ if tag > INT && tag <= INT_LAST => position + 1 + usize::from(tag - INT),
        FLOAT => position + 9,
        STR | BYTES | PICKLE | BIG_INT => {
            let mut start = position + 1;
            let length = varint(data, &mut start)?;
            start.checked_add(length)?
        }
        TUPLE | LIST | DICT => {
            let head = data.get(position + 1..position + 5)?;
            position + 5 + u32::from_le_bytes(head.try_into().ok()?) as usize
        }
        _ => return None,
    };
    (end <= data.len()).then_some(end)
}

/// The int that `value`, one whole encoded value, is; None for other types and larger ones.
#[inline]
pub fn int_of(value: &[u8]) -> Option<i128> {
    let tag = *value.first()?;
    if tag <= SMALL_LAST {
        return Some(i128::from(tag) + i128::from(SMALL_MIN));
    }
    let body = match tag {
        BIG_INT => {
            let mut start = 1;
            varint(value, &mut start)?;
            value.get(start..)?
        }
        _ if tag > INT => value.get(1..)?,
        _ => return None,
    };
    if body.is_empty() || body.len() > 16 {
        return None;
    }
    let mut bytes = [0; 16];
    bytes[..body.len()].copy_from_slice(body);
    let shift = 128 - 8 * body.len() as u32;
    Some((i128::from_le_bytes(bytes) << shift) >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_of_up_to_128_bits_come_back() {
        for shift in 0..127 {
            for value in [1i128 << shift, -(1i128 << shift), (1i128 << shift) - 1] {
                let mut out = Vec::new();
                put_int(&mut out, value);
                assert_eq!(int_of(&out), Some(value));
                assert_eq!(end(&out, 0), Some(out.len()));
            }
        }
    }

    #[test]
    fn the_size_of_a_varint_is_known_before_it_is_put() {
        for number in (0..64).flat_map(|shift| [1 << shift, (1 << shift) - 1]) {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(varint_size(number), out.len());
        }
    }

    #[test]
    fn no_value_ends_beyond_its_bytes() {
        for tag in 0..=255u8 {
            for length in 0..12 {
                let data = [&[tag][..], &vec![0xFF; length][..]].concat();
                assert!(end(&data, 0).is_none_or(|end| end <= data.len()));
            }
        }
    }
}
