//! One cell of a row as text: TSV cells, JSON, and JSON inside a TSV cell.
use super::float;
use std::collections::TryReserveError;

type Put = Result<(), TryReserveError>;

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tsv,
    Jsonl,
}

/// A plain cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// An int that need not fit `Int`: sums.
    Wide(i128),
    Float(f64),
    /// UTF-8, without lone surrogates.
    Str(&'a [u8]),
    Bytes(&'a [u8]),
    /// At most `TUPLE_MAX` cells, none of them a tuple.
    Tuple(&'a [Cell<'a>]),
}

impl Cell<'_> {
    /// Append the text of a TSV cell.
    #[inline]
    pub fn put_tsv(&self, out: &mut Vec<u8>) -> Put {
        match *self {
            Cell::Str(text) => put_escaped(out, text, is_special_in_tsv, put_tsv_escape),
            Cell::Int(number) => put_int(out, number),
            Cell::Float(number) if !number.is_finite() => put(out, float::word(number)),
            Cell::Bytes(data) => put_base64(out, data),
            _ => self.put_json(out, Format::Tsv),
        }
    }

    /// Append JSON; within a TSV cell (`format`) with its backslashes doubled.
    #[inline]
    pub fn put_json(&self, out: &mut Vec<u8>, format: Format) -> Put {
        match *self {
            Cell::Str(text) => {
                put(out, b"\"")?;
                match format {
                    Format::Jsonl => put_escaped(out, text, is_special_in_json, put_json_escape)?,
                    Format::Tsv => {
                        put_escaped(out, text, is_special_in_json, put_json_escape_in_tsv)?;
                    }
                }
                put(out, b"\"")
            }
            Cell::Int(number) => put_int(out, number),
            Cell::Wide(number) => put_wide(out, number),
            Cell::Float(number) => put_json_float(out, number),
            Cell::Null => put(out, b"null"),
            Cell::Bool(truth) => put(out, if truth { b"true" } else { b"false" }),
            Cell::Bytes(data) => {
                put(out, b"\"")?;
                put_base64(out, data)?;
                put(out, b"\"")
            }
            Cell::Tuple(cells) => {
                put(out, b"[")?;
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        put(out, b",")?;
                    }
                    cell.put_json(out, format)?;
                }
                put(out, b"]")
            }
        }
    }
}

/// Append `data`.
#[inline]
pub fn put(out: &mut Vec<u8>, data: &[u8]) -> Put {
    out.try_reserve(data.len())?;
    out.extend_from_slice(data);
    Ok(())
}

#[inline]
fn put_int(out: &mut Vec<u8>, number: i64) -> Put {
    let mut digits = [0; 20]; // u64::MAX has 20 digits; i64::MIN has 19 and a sign
    let mut first = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        first -= 1;
        digits[first] = b'-';
    }
    put(out, &digits[first..])
}

fn put_wide(out: &mut Vec<u8>, number: i128) -> Put {
    match i64::try_from(number) {
        Ok(number) => put_int(out, number),
        Err(_) => put(out, number.to_string().as_bytes()),
    }
}

fn put_json_float(out: &mut Vec<u8>, number: f64) -> Put {
    if number.is_finite() {
        return float::put_repr(out, number);
    }
    put(out, b"\"")?;
    put(out, float::word(number))?;
    put(out, b"\"")
}

/// Append `text`, and for each byte that is special what `escape` makes of it.
#[inline]
fn put_escaped(
    out: &mut Vec<u8>,
    text: &[u8],
    is_special: fn(u64) -> bool,
    escape: fn(&mut Vec<u8>, u8) -> Put,
) -> Put {
    if !has_special(text, is_special) {
        return put(out, text);
    }
    out.try_reserve(text.len())?;
    for &byte in text {
        if is_special(u64::from(byte) | ABOVE) {
            escape(out, byte)?;
        } else {
            put(out, &[byte])?;
        }
    }
    Ok(())
}

/// Tell whether a byte of `text` is special, eight at a time.
#[inline]
fn has_special(text: &[u8], is_special: fn(u64) -> bool) -> bool {
    let (eights, rest) = text.as_chunks::<8>();
    let mut last = ABOVE | u64::from(b'~');
    for (index, &byte) in rest.iter().enumerate() {
        last = last & !(0xFF << (8 * index)) | u64::from(byte) << (8 * index);
    }
    eights
        .iter()
        .any(|&eight| is_special(u64::from_le_bytes(eight)))
        || is_special(last)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;
const ABOVE: u64 = (ONES * b'~' as u64) << 8; // fills up a word with what is never special

/// Tell whether a byte of `word` is `byte`: exact, as a whole (Hacker's Delight, 6-1).
#[inline]
const fn has(word: u64, byte: u8) -> bool {
    let zero = word ^ (ONES * byte as u64);
    zero.wrapping_sub(ONES) & !zero & HIGH != 0
}

#[inline]
fn is_special_in_tsv(word: u64) -> bool {
    has(word, b'\t') | has(word, b'\n') | has(word, b'\\')
}

#[inline]
fn is_special_in_json(word: u64) -> bool {
    let has_control = word.wrapping_sub(ONES * 0x20) & !word & HIGH != 0;
    has_control | has(word, b'"') | has(word, b'\\')
}

#[cold]
fn put_tsv_escape(out: &mut Vec<u8>, byte: u8) -> Put {
    put(
        out,
        match byte {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\\\",
        },
    )
}

#[cold]
fn put_json_escape(out: &mut Vec<u8>, byte: u8) -> Put {
    let (escape, length) = json_escape(byte);
    put(out, &escape[..length])
}

#[cold]
fn put_json_escape_in_tsv(out: &mut Vec<u8>, byte: u8) -> Put {
    let (escape, length) = json_escape(byte);
    for &byte in &escape[..length] {
        put(
            out,
            if byte == b'\\' {
                b"\\\\"
            } else {
                std::slice::from_ref(&byte)
            },
        )?;
    }
    Ok(())
}

fn json_escape(byte: u8) -> ([u8; 6], usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x0C => b'f',
        0x08 => b'b',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            return ([b'\\', b'u', b'0', b'0', high, low], 6);
        }
    };
    ([b'\\', short, 0, 0, 0, 0], 2)
}

/// Append base64: RFC 4648, section 4.
fn put_base64(out: &mut Vec<u8>, data: &[u8]) -> Put {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.try_reserve(data.len().div_ceil(3) * 4)?;
    for three in data.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |shift: u32| DIGITS[(bits >> shift & 63) as usize];
        let mut four = [digit(18), digit(12), digit(6), digit(0)];
        four[three.len() + 1..].fill(b'=');
        out.extend_from_slice(&four);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cell: Cell, format: Format) -> String {
        let mut out = Vec::new();
        match format {
            Format::Tsv => cell.put_tsv(&mut out),
            Format::Jsonl => cell.put_json(&mut out, format),
        }
        .expect("there is memory");
        String::from_utf8(out).expect("it is UTF-8")
    }

    #[test]
    fn every_ascii_byte_is_escaped_at_every_place_of_a_word_or_not_at_all() {
        for byte in 0..=127 {
            for place in 0..17 {
                let mut data = *b"abcdefghijklmnopq";
                data[place] = byte;
                let (head, tail) = (&data[..place], &data[place + 1..]);
                let (tsv, json) = (special_in_tsv(byte), special_in_json(byte));
                let around = |middle: &str| {
                    let head = std::str::from_utf8(head).expect("ASCII");
                    format!(
                        "{head}{middle}{}",
                        std::str::from_utf8(tail).expect("ASCII")
                    )
                };
                assert_eq!(text(Cell::Str(&data), Format::Tsv), around(&tsv));
                let quoted = format!("\"{}\"", around(&json));
                assert_eq!(text(Cell::Str(&data), Format::Jsonl), quoted);
            }
        }
    }

    fn special_in_tsv(byte: u8) -> String {
        match byte {
            b'\t' => "\\t".into(),
            b'\n' => "\\n".into(),
            b'\\' => "\\\\".into(),
            _ => char::from(byte).into(),
        }
    }

    fn special_in_json(byte: u8) -> String {
        match byte {
            b'\t' => "\\t".into(),
            b'\n' => "\\n".into(),
            b'\r' => "\\r".into(),
            8 => "\\b".into(),
            12 => "\\f".into(),
            b'\\' => "\\\\".into(),
            b'"' => "\\\"".into(),
            0..32 => format!("\\u{byte:04x}"),
            _ => char::from(byte).into(),
        }
    }

    #[test]
    fn ints_are_their_digits() {
        for number in [0, 9, 10, -1, 99, 100, i64::MAX, i64::MIN] {
            assert_eq!(text(Cell::Int(number), Format::Tsv), number.to_string());
            assert_eq!(
                text(Cell::Wide(number.into()), Format::Tsv),
                number.to_string()
            );
        }
        assert_eq!(
            text(Cell::Wide(i128::MIN), Format::Tsv),
            i128::MIN.to_string()
        );
    }

    #[test]
    fn a_tuple_in_a_tsv_cell_is_json_with_its_backslashes_doubled() {
        let cells = [Cell::Str(b"a\tb\\\x01"), Cell::Bytes(b"ab"), Cell::Null];
        assert_eq!(
            text(Cell::Tuple(&cells), Format::Tsv),
            r#"["a\\tb\\\\\\u0001","YWI=",null]"#
        );
    }
}
