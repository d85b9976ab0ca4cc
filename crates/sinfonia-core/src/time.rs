//! Times on the wire, RFC 3339 with `+00:00` and never `Z`, because existing clients compare text; and spans of time as people write them.

use jiff::{SignedDuration, Timestamp};

/// Reads a span of time as people write it, such as `1m30s`; a bare number is seconds. `None` where it is none; what is longer than can be
/// told is the longest that can.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare {
        let seconds = text.parse();
        return Some(seconds.map_or(SignedDuration::MAX, SignedDuration::from_secs));
    }
    text.parse().ok()
}

/// Writes a time as RFC 3339 in UTC with whole seconds and `+00:00`.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Serde for optional times: `#[serde(with = "sinfonia_core::time::optional")]`.
pub mod optional {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the time as [`super::format`] does, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&super::format(*time)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any RFC 3339 time, or null.
    ///
    /// # Errors
    /// The text is not a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("90", Some(90))]
    #[case(" 90 ", Some(90))]
    #[case("90s", Some(90))]
    #[case("1m30s", Some(90))]
    #[case("-1s", Some(-1))]
    #[case("99999999999999999999", Some(i64::MAX))]
    #[case("", None)]
    #[case("-1", None)]
    #[case("soon", None)]
    fn a_span_of_time_has_units_or_is_seconds(#[case] text: &str, #[case] seconds: Option<i64>) {
        let told = parse_duration(text).map(|duration| duration.as_secs());

        assert_eq!(told, seconds);
    }

    #[test]
    fn times_end_in_an_offset_and_have_whole_seconds() {
        let time: Timestamp = "2026-11-22T15:09:00.75Z".parse().unwrap();

        assert_eq!(format(time), "2026-11-22T15:09:00+00:00");
    }
}
