//! The one spelling of floats in what is committed to.
//!
//! JSON leaves open how a number is written, and writers differ (`1e16`, `1e+16`, `10000000000000000`).
//! A commitment that is to be opened years later cannot depend on which version of which library
//! wrote it, so the form is fixed here: the fewest digits that read back as the same value (of
//! several the closest, of two as close the even one), with a point and at least one digit on each
//! side of it for magnitudes from 1e-5 to below 1e16, and else `d.ddde+XX` or `d.ddde-XX`.

use serde::Serialize;

/// Appends the spelling of a finite float.
pub(crate) fn write_float(value: impl Serialize, text: &mut Vec<u8>) {
    let start = text.len();
    // The digits are the library's, which are a matter of arithmetic; only the form is ours.
    let written = serde_json::to_writer(&mut *text, &value);
    debug_assert!(written.is_ok(), "a finite float can be written");
    let number = text.get(start..).unwrap_or_default();
    if let Some(spelling) = respelt(number) {
        text.truncate(start);
        text.extend_from_slice(spelling.as_bytes());
    }
}

/// Returns the spelling of a number that is written in another form.
fn respelt(number: &[u8]) -> Option<String> {
    let magnitude = number.strip_prefix(b"-").unwrap_or(number);
    let point = magnitude.iter().position(|byte| !byte.is_ascii_digit());
    let has_exponent = magnitude.iter().any(|byte| matches!(byte, b'e' | b'E'));
    if point.is_some_and(|at| at <= 16) && !has_exponent && !magnitude.starts_with(b"0.00000") {
        return None;
    }
    let magnitude = str::from_utf8(magnitude).ok()?;
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading = i32::try_from(digits.len() - significant.len()).ok()?;
    // The power of ten of the first digit.
    let power = i32::try_from(whole.len()).ok()? - 1 - leading + exponent;
    let sign = if magnitude.len() < number.len() { "-" } else { "" };
    Some(format!("{sign}{}", laid_out(significant.trim_end_matches('0'), power)))
}

/// Lays out the digits `d.ddd` times ten to the power.
fn laid_out(digits: &str, power: i32) -> String {
    let (first, rest) = digits.split_at(digits.len().min(1));
    match usize::try_from(power) {
        _ if digits.is_empty() => "0.0".to_owned(),
        Ok(power @ 0..16) => {
            let padded = format!("{rest:0<power$}");
            let (whole, fraction) = padded.split_at(power);
            format!("{first}{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
        }
        Err(_) if power >= -5 => {
            let zeros = usize::try_from(-1 - power).unwrap_or_default();
            format!("0.{:0<zeros$}{digits}", "")
        }
        _ => {
            let point = if rest.is_empty() { "" } else { "." };
            format!("{first}{point}{rest}e{power:+}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelt(value: impl Serialize) -> String {
        let mut text = Vec::new();
        write_float(value, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn doubles_have_one_spelling() {
        for (bits, spelling) in [
            // The values of RFC 8785, appendix B, with the digits that stand there.
            (0x0000_0000_0000_0000_u64, "0.0"),
            (0x8000_0000_0000_0000, "-0.0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992.0"),
            (0xc340_0000_0000_0000, "-9007199254740992.0"),
            (0x4430_0000_0000_0000, "2.9514790517935283e+20"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "9.999999999999997e+20"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "1e-6"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-3.3333333333333333e-6"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
            // As close to one as to the other: the even digit.
            (0x3d30_0000_0000_0000, "5.684341886080802e-14"),
            (0x4300_a5da_a1cf_cbf2, "585744757946750.2"),
            // The edges of the plain form.
            (1e-5_f64.to_bits(), "0.00001"),
            (1.25e-5_f64.to_bits(), "0.0000125"),
            (9.5e-6_f64.to_bits(), "9.5e-6"),
            (1e15_f64.to_bits(), "1000000000000000.0"),
            (9.5e15_f64.to_bits(), "9500000000000000.0"),
            (1e16_f64.to_bits(), "1e+16"),
            (0.1_f64.to_bits(), "0.1"),
            ((-12.0_f64).to_bits(), "-12.0"),
        ] {
            assert_eq!(spelt(f64::from_bits(bits)), spelling);
        }
    }

    #[test]
    fn singles_have_the_same_form() {
        for (value, spelling) in [
            (0.0_f32, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-5, "0.00001"),
            (1e-6, "1e-6"),
            (-1.5e-6, "-1.5e-6"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (16_777_216.0, "16777216.0"),
            (f32::MAX, "3.4028235e+38"),
            (f32::from_bits(1), "1e-45"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
        ] {
            assert_eq!(spelt(value), spelling);
        }
    }

    #[test]
    fn every_form_of_a_number_becomes_this_one() {
        for (form, spelling) in [
            ("1e16", "1e+16"),
            ("1E+16", "1e+16"),
            ("10000000000000000.0", "1e+16"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1", "1.0"),
            ("120", "120.0"),
            ("1.50e2", "150.0"),
            ("0.000001", "1e-6"),
            ("-0.00000125", "-1.25e-6"),
            ("1e-05", "0.00001"),
            ("0", "0.0"),
            ("-0", "-0.0"),
        ] {
            let respelt = respelt(form.as_bytes()).unwrap_or_else(|| form.to_owned());
            assert_eq!(respelt, spelling);
        }
    }

    /// Writes a spelling as a whole number and a power of ten.
    fn digits_of(spelling: &str) -> String {
        let (mantissa, exponent) = spelling.split_once('e').unwrap_or((spelling, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().unwrap();
        format!("{whole}{fraction}e{}", exponent - i32::try_from(fraction.len()).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_spelt_reads_back(bits: u64, half: u32) {
            let (double, single) = (f64::from_bits(bits), f32::from_bits(half));
            prop_assume!(double.is_finite() && single.is_finite());
            prop_assert_eq!(spelt(double).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(spelt(single).parse::<f32>().unwrap().to_bits(), half);
            // However somebody else lays the same digits out, this is what comes of it.
            let scientific = digits_of(&spelt(double));
            prop_assert_eq!(respelt(scientific.as_bytes()).unwrap_or(scientific), spelt(double));
        }
    }
}
