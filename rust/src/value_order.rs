//! From the bytes of a value to bytes whose order is that of MIN and MAX, without Python.
//!
//! They are those of the same object as a key, but for numbers: there every int comes before every
//! float, and here 7 comes before 7.5. A number is its sign, the place of its highest bit, the bits
//! from there on without zeros at their end, and, for numbers that are equal, its type:
//!
//! ```text
//! POSITIVE  4 bytes: place + 2^31  7 bits and a 1, ...  0  INT or FLOAT
//! NEGATIVE  the same, each byte but the last inverted
//! ZERO                                                     INT or FLOAT
//! NAN
//! ```
//! An infinity has the last place and no bits. The same order as `builtin._order` gives, which is
//! the oracle.
use crate::bytes::{self, BIG_INT, BYTES, FALSE, FLOAT, INT, NONE, STR, TRUE, TUPLE};
use crate::keys;

const NEGATIVE: u8 = 0x10; // between the tags of `keys` for True and str
const ZERO: u8 = 0x11;
const POSITIVE: u8 = 0x12;
const NAN: u8 = 0x13;
const OF_INT: u8 = 0;
const OF_FLOAT: u8 = 1;
const PLACE_ZERO: i64 = 1 << 31;
const FRACTION_BITS: u32 = 52; // of a float
const UNIT_PLACE: i64 = -1074; // the smallest float is 2 to this

/// Append what orders `value`, one whole encoded value; None if it is no key, or memory ends.
pub fn order_of(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    append(value, out, 1)
}

fn append(value: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    let tag = *value.first()?;
    out.try_reserve(9).ok()?; // for all but what may be long
    match tag {
        NONE => out.push(keys::NONE),
        FALSE => out.push(keys::FALSE),
        TRUE => out.push(keys::TRUE),
        FLOAT => {
            let bits = u64::from_le_bytes(value.get(1..9)?.try_into().ok()?);
            append_float(f64::from_bits(bits), out)?;
        }
        STR | BYTES | BIG_INT => {
            let mut start = 1;
            bytes::varint(value, &mut start)?;
            let body = value.get(start..)?;
            match tag {
                STR => append_raw(keys::STR, body, out, depth)?,
                BYTES => append_raw(keys::BYTES, body, out, depth)?,
                _ => append_int(body, out)?,
            }
        }
        TUPLE if depth <= keys::DEPTH_MAX => {
            out.push(keys::TUPLE);
            let mut position = 5;
            while position < value.len() {
                let end = bytes::end(value, position)?;
                append(&value[position..end], out, depth + 1)?;
                position = end;
            }
            out.try_reserve(1).ok()?;
            out.push(keys::END);
        }
        0..=bytes::SMALL_LAST => {
            let number = i64::from(tag) + bytes::SMALL_MIN;
            append_int(&number.to_le_bytes(), out)?;
        }
        _ if tag > INT => append_int(&value[1..], out)?,
        _ => return None,
    }
    Some(())
}

fn append_raw(tag: u8, body: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    out.try_reserve(keys::raw_size(body, depth)).ok()?;
    keys::put_raw(tag, body, out, depth);
    Some(())
}

/// Append an int given in two's complement, little endian.
fn append_int(body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let negative = body.last()? & 0x80 != 0;
    let mut magnitude = Vec::new();
    magnitude.try_reserve_exact(body.len() + 1).ok()?;
    magnitude.extend_from_slice(body);
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            let (flipped, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (flipped, over);
        }
        if carry {
            magnitude.push(1);
        }
    }
    magnitude.reverse();
    let leading = magnitude.iter().take_while(|&&byte| byte == 0).count();
    append_number(negative, &magnitude[leading..], 0, OF_INT, out)
}

fn append_float(value: f64, out: &mut Vec<u8>) -> Option<()> {
    if value.is_nan() {
        out.push(NAN);
        return Some(());
    }
    if value.is_infinite() {
        out.try_reserve(7).ok()?;
        let (tag, byte) = if value < 0.0 {
            (NEGATIVE, 0)
        } else {
            (POSITIVE, 0xFF)
        };
        out.extend([tag, byte, byte, byte, byte, !byte, OF_FLOAT]);
        return Some(());
    }
    let bits = value.to_bits();
    let raw = (bits >> FRACTION_BITS) as i64 & 0x7FF;
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let (magnitude, place) = match raw {
        0 => (fraction, UNIT_PLACE),
        _ => (fraction | 1 << FRACTION_BITS, UNIT_PLACE + raw - 1),
    };
    let skipped = magnitude.leading_zeros() as usize / 8;
    append_number(
        value < 0.0,
        &magnitude.to_be_bytes()[skipped..],
        place,
        OF_FLOAT,
        out,
    )
}

/// Append a number: `magnitude`, big endian and without a zero byte before it, times 2 to `place`.
fn append_number(
    negative: bool,
    magnitude: &[u8],
    place: i64,
    kind: u8,
    out: &mut Vec<u8>,
) -> Option<()> {
    out.try_reserve(magnitude.len() * 8 / 7 + 9).ok()?;
    let Some(first) = magnitude.first() else {
        out.extend([ZERO, kind]);
        return Some(());
    };
    let flip = if negative { 0xFF } else { 0 };
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let skipped = first.leading_zeros();
    let highest = place + magnitude.len() as i64 * 8 - 1 - i64::from(skipped);
    let shown = u32::try_from(highest + PLACE_ZERO).ok()?;
    out.extend(shown.to_be_bytes().map(|byte| byte ^ flip));
    let mut used = out.len();
    let (mut held, mut count) = (0u32, 0u32); // the last `count` bits of `held` are not put yet
    for (at, &byte) in magnitude.iter().enumerate() {
        held = held << 8 | u32::from(byte);
        count += if at == 0 { 8 - skipped } else { 8 };
        while count >= 7 {
            count -= 7;
            put_bits((held >> count) as u8 & 0x7F, flip, &mut used, out);
        }
        held &= 0x7F;
    }
    put_bits((held << (7 - count)) as u8 & 0x7F, flip, &mut used, out);
    out.truncate(used);
    out.extend([flip, kind]);
    Some(())
}

/// Append seven bits; `used` is where those end that are not all zeros.
fn put_bits(bits: u8, flip: u8, used: &mut usize, out: &mut Vec<u8>) {
    out.push((bits << 1 | 1) ^ flip);
    if bits != 0 {
        *used = out.len();
    }
}
