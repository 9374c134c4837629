//! Numbers as text, the way Envoy writes them in its three formats.
//!
//! C's `%g` with some precision (text and Prometheus formats) and the shortest text that reads back as the same number
//! (JSON and quantiles).

/// `%.<digits>g`: at most this many significant digits, no trailing zeros.
pub(crate) fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = split(&scientific);
    if exponent < -4 || exponent >= digits as i32 {
        return join(trim(mantissa), exponent);
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim(&format!("{value:.decimals$}")).to_owned()
}

/// The shorter of the decimal and the scientific form; decimal if they are as long: C++'s `to_chars`.
pub(crate) fn shortest(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let decimal = value.to_string();
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split(&scientific);
    let scientific = join(mantissa, exponent);
    if scientific.len() < decimal.len() { scientific } else { decimal }
}

/// The shortest digits, as a decimal unless it would be very long: what `{}` of C++'s fmt gives.
pub(crate) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split(&scientific);
    if (-4..16).contains(&exponent) { value.to_string() } else { join(mantissa, exponent) }
}

fn not_finite(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { value.to_string() }
}

/// Mantissa and exponent of Rust's scientific form.
fn split(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

/// C's scientific form: a sign and at least two digits of exponent.
fn join(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_envoy() {
        let sum = 837.385_495_242_719_5;
        let rows = [
            (0.5, "0.5", "0.5", "0.5"),
            (0.0, "0", "0", "0"),
            (300_000.0, "300000", "3e+05", "300000"),
            (600_000.0, "600000", "6e+05", "600000"),
            (1_800_000.0, "1.8e+06", "1800000", "1800000"),
            (10_000.0, "10000", "10000", "10000"),
            (1000.5, "1000.5", "1000.5", "1000.5"),
            (f64::NAN, "nan", "nan", "nan"),
            (1e20, "1e+20", "1e+20", "1e+20"),
        ];
        for (value, six, short, quantile) in rows {
            assert_eq!(
                (general(value, 6), shortest(value), plain(value)),
                (six.into(), short.into(), quantile.into())
            );
        }
        assert_eq!(general(sum, 32), "837.38549524271945756481727585196");
        assert_eq!(general(175.0, 32), "175");
        assert_eq!(general(41.285714285714285, 32), "41.285714285714284699224663199857");
        assert_eq!(plain(41.285714285714285), "41.285714285714285");
        assert_eq!(general(1_800_000.0, 32), "1800000");
    }
}
