//! Amounts as Kubernetes writes them: `500m` of a processor, `16Gi` of memory, `1` GPU.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/> is the grammar. Nothing that is asked for or allowed is
//! negative, so no sign is taken.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// The smallest part of one that Kubernetes knows; what is finer is rounded up.
const NANOS: u128 = 1_000_000_000;
/// Longest text; the largest quantity of Kubernetes, 2^63 - 1, has 19 digits.
const LONGEST: usize = 40;
/// The largest quantity: 2^63 - 1.
const LARGEST: u128 = i64::MAX as u128 * NANOS;

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity: expected an amount such as 4, 500m or 16Gi")]
pub struct QuantityError(String);

/// An amount of something. Equal and in order by how much it is, however it is written: `1024Mi` is `1Gi`.
#[derive(Debug, Clone)]
pub struct Quantity {
    nanos: u128,
    text: String,
}

text::written_as!(Quantity, "Quantity", {
    "description": "An amount as Kubernetes writes it: 4, 500m, 16Gi.",
    "anyOf": [{"type": "string", "pattern": "^[0-9.]+([A-Za-z]+|[eE][+-]?[0-9]+)?$"}, {"type": "number", "minimum": 0}],
});

impl Quantity {
    /// Whether it has no fraction, as the number of things that cannot be divided.
    pub const fn is_whole(&self) -> bool {
        self.nanos.is_multiple_of(NANOS)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let nanos = nanos(text)
            .ok_or_else(|| QuantityError(text.escape_default().take(LONGEST).collect()))?;
        let text = text.to_owned();
        Ok(Self { nanos, text })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

/// Takes numbers too: `cpu: 4` is what people write.
struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a quantity such as 4, 500m or 16Gi")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }
}

/// How much a text says, in billionths, rounded up.
fn nanos(text: &str) -> Option<u128> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    if text.len() > LONGEST {
        return None;
    }
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // A second point is no digit.
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok()?;
    let (multiplier, divisor) = factor(suffix)?;
    let scaled = digits.checked_mul(multiplier)?.checked_mul(NANOS)?;
    let divisor = divisor.checked_mul(10_u128.checked_pow(decimals)?)?;
    let nanos = scaled.div_ceil(divisor);
    (nanos <= LARGEST).then_some(nanos)
}

/// What a suffix multiplies and divides by.
fn factor(suffix: &str) -> Option<(u128, u128)> {
    let binary = |exponent: u32| Some((1024_u128.pow(exponent), 1));
    let decimal = |exponent: u32| Some((1000_u128.pow(exponent), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, NANOS)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => exponent(suffix.strip_prefix(['e', 'E'])?),
    }
}

fn exponent(text: &str) -> Option<(u128, u128)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // A sign of its own would be a second one.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let power = 10_u128.checked_pow(digits.parse().ok().filter(|_| plain)?)?;
    Some(if negative { (1, power) } else { (power, 1) })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("1", "1000m")]
    #[case("0.5", "500m")]
    #[case(".5", "500m")]
    #[case("1.", "1")]
    #[case("1024Mi", "1Gi")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1k", "1000")]
    #[case("2e3", "2k")]
    #[case("2E3", "2k")]
    #[case("2e+3", "2k")]
    #[case("25e-1", "2500m")]
    #[case("1E", "1000P")]
    #[case("3000000n", "3m")]
    #[case("3000u", "3m")]
    #[case("0", "0Gi")]
    #[case::finer_than_a_billionth("0.0000000001", "1n")]
    fn amounts_are_compared_by_how_much_they_are(#[case] one: &str, #[case] other: &str) {
        assert_eq!(quantity(one), quantity(other));
    }

    #[rstest]
    #[case("999m", "1")]
    #[case("1000M", "1Gi")]
    #[case("1G", "1Gi")]
    #[case("15Gi", "16Gi")]
    #[case("1", "9223372036854775807")]
    fn less_is_less(#[case] less: &str, #[case] more: &str) {
        assert!(quantity(less) < quantity(more));
    }

    #[rstest]
    #[case("")]
    #[case(".")]
    #[case("Gi")]
    #[case("-1")]
    #[case("+1")]
    #[case("1 Gi")]
    #[case("1.2.3")]
    #[case("1KB")]
    #[case("1ki")]
    #[case("1mi")]
    #[case("1e")]
    #[case("1e+-2")]
    #[case("1e99999")]
    #[case("9223372036854775808")]
    #[case("8Ei")]
    #[case("99999999999999999999999999999999999999Ei")]
    #[case("0.00000000000000000000000000000000000000000000001")]
    fn what_kubernetes_would_not_take_is_no_quantity(#[case] text: &str) {
        let error = text.parse::<Quantity>().unwrap_err();

        assert!(error.to_string().contains("is not a quantity"), "{error}");
    }

    #[test]
    fn it_is_written_as_it_was_read_and_read_from_numbers_too() {
        let read = |value| serde_json::from_value::<Quantity>(value).unwrap();

        assert_eq!(
            [
                read(json!("1024Mi")),
                read(json!(4)),
                read(json!(0.5)),
                read(json!(0.25e1))
            ]
            .map(|quantity| serde_json::to_value(quantity).unwrap()),
            [json!("1024Mi"), json!("4"), json!("0.5"), json!("2.5")]
        );
        assert!(serde_json::from_value::<Quantity>(json!(-4)).is_err());
        assert!(serde_json::from_value::<Quantity>(json!([4])).is_err());
    }

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }
}
