//! Floats as Python's `repr` writes them: the shortest digits that read back as the same number.
//!
//! The digits are Rust's (Grisu, with Dragon behind it): the shortest too, and of these the
//! nearest. Where two are as near, Python takes the even one. The layout is that of
//! `float_repr_style` "short" in `Python/pystrtod.c`.
use super::cell::put;
use std::collections::TryReserveError;
use std::io::Write;

const POINT_FIRST: i32 = -3; // 0.0001 has its point at -3; below, there is an exponent
const POINT_LAST: i32 = 16; // 1e16 has its point at 17
const MANTISSA: u64 = 1 << 52;
const TIE_DIGITS: usize = 16;
const TIE_PLACES: i32 = 25; // 17 digits: 5^25 / 2 has 17

/// Return the name of a number that is not finite.
pub fn word(number: f64) -> &'static [u8] {
    if number.is_nan() {
        b"NaN"
    } else if number > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    }
}

/// Append a finite number.
pub fn put_repr(out: &mut Vec<u8>, number: f64) -> Result<(), TryReserveError> {
    let mut text = [0; 32]; // at most -d.dddddddddddddddde-ddd
    let length = {
        let mut rest = &mut text[..];
        write!(rest, "{number:e}").expect("17 digits, a sign and an exponent fit");
        32 - rest.len()
    };
    let text = text[..length].strip_prefix(b"-").unwrap_or(&text[..length]);
    let (mut digits, count, point) = parts(text);
    if count >= TIE_DIGITS {
        settle_tie(&mut digits[..count], number, point);
    }
    if number.is_sign_negative() {
        put(out, b"-")?;
    }
    layout(out, &digits[..count], point)
}

/// Return the digits of `d.ddde±x`, their number, and how many stand before the point.
fn parts(text: &[u8]) -> ([u8; 20], usize, i32) {
    let mut digits = [b'0'; 20];
    let mut count = 0;
    let mut exponent = 0;
    let mut is_negative = false;
    let mut is_behind = false;
    for &byte in text {
        match byte {
            b'e' => is_behind = true,
            b'-' => is_negative = true,
            b'.' => {}
            _ if is_behind => exponent = exponent * 10 + i32::from(byte - b'0'),
            _ => {
                digits[count] = byte;
                count += 1;
            }
        }
    }
    let exponent = if is_negative { -exponent } else { exponent };
    (digits, count, exponent + 1)
}

/// Make `digits` the even ones, if `number` lies in the middle between two of their length.
///
/// With d digits behind the point it does if number · 2^(d+1) is an odd integer y: the two are
/// then (y · 5^d ± 1) / 2. The half of the last digit's unit, 10^-d / 2, is within half of the
/// number's, so that there are 2^52 of them at least: 16 digits. A power of two is nearer to the
/// float below it: with fewer than 2^53 of them only the upper one reads back, as of 2^-24.
fn settle_tie(digits: &mut [u8], number: f64, point: i32) {
    let Some(places) = i32::try_from(digits.len()).ok().map(|count| count - point) else {
        return;
    };
    if !(1..=TIE_PLACES).contains(&places) {
        return; // So it is no subnormal either.
    }
    let bits = number.to_bits();
    let mantissa = MANTISSA | bits & (MANTISSA - 1);
    let exponent = (bits >> 52 & 0x7FF).cast_signed() - 1075;
    let zeros = mantissa.trailing_zeros();
    if exponent + i64::from(zeros) != -i64::from(places) - 1 {
        return;
    }
    let odd = mantissa >> zeros;
    let lower = u128::from(odd) * 5u128.pow(places.unsigned_abs()) / 2;
    if odd == 1 && lower < u128::from(2 * MANTISSA) {
        return;
    }
    let mut even = lower + lower % 2;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (even % 10) as u8;
        even /= 10;
    }
}

fn layout(out: &mut Vec<u8>, digits: &[u8], point: i32) -> Result<(), TryReserveError> {
    const ZEROS: &[u8] = b"0000000000000000";
    if !(POINT_FIRST..=POINT_LAST).contains(&point) {
        return put_exponential(out, digits, point - 1);
    }
    if point <= 0 {
        put(out, b"0.")?;
        put(out, &ZEROS[..point.unsigned_abs() as usize])?;
        return put(out, digits);
    }
    let point = point.unsigned_abs() as usize;
    if let Some((whole, fraction)) = digits
        .split_at_checked(point)
        .filter(|cut| !cut.1.is_empty())
    {
        put(out, whole)?;
        put(out, b".")?;
        return put(out, fraction);
    }
    put(out, digits)?;
    put(out, &ZEROS[..point - digits.len()])?;
    put(out, b".0")
}

fn put_exponential(out: &mut Vec<u8>, digits: &[u8], exponent: i32) -> Result<(), TryReserveError> {
    put(out, &digits[..1])?;
    if digits.len() > 1 {
        put(out, b".")?;
        put(out, &digits[1..])?;
    }
    put(out, if exponent < 0 { b"e-" } else { b"e+" })?;
    let size = exponent.unsigned_abs();
    let digit = |number: u32| b'0' + (number % 10) as u8;
    if size >= 100 {
        put(out, &[digit(size / 100)])?;
    }
    put(out, &[digit(size / 10), digit(size)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_python() {
        for (number, repr) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_099, "9.9e-05"),
            (1e-5, "1e-05"),
            (123_456_789.0, "123456789.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (12_345_678_901_234_568.0, "1.2345678901234568e+16"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (810_400_892_407_087.2, "810400892407087.2"),
            (810_400_892_407_087.8, "810400892407087.8"),
            (1.0 / f64::from(1 << 24), "5.960464477539063e-08"),
            (1.0 / f64::from(1 << 25), "2.9802322387695312e-08"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            let mut out = Vec::new();
            put_repr(&mut out, number).expect("there is memory");
            assert_eq!(String::from_utf8(out).expect("ASCII"), repr);
        }
    }
}
