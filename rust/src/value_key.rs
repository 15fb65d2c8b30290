//! From the bytes of a value to the bytes of the same object as a key, without Python.
use crate::bytes::{self, BIG_INT, BYTES, FALSE, FLOAT, INT, NONE, STR, TRUE, TUPLE};
use crate::keys;

/// Append the key that `value`, one whole encoded value, is; None if it is no key, or memory ends.
pub fn key_of(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
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
            keys::put_float(f64::from_bits(bits), out);
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
    out.try_reserve(keys::magnitude_size(magnitude.len()))
        .ok()?;
    keys::put_magnitude(negative, &magnitude, out).ok()
}
