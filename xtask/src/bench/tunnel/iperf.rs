//! What iperf3 tells.

use anyhow::{Context, bail};
use serde_json::Value;

/// A stream as its receiver saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stream {
    pub(super) gigabytes: f64,
    pub(super) gigabits_per_second: f64,
}

impl Stream {
    /// Reads what `iperf3 --json` printed for a TCP stream.
    ///
    /// # Errors
    /// It is no such text, or tells of a failure.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let report: Value = serde_json::from_str(text)
            .with_context(|| format!("iperf3 printed something else: {text:?}"))?;
        if let Some(error) = report["error"].as_str() {
            bail!("iperf3 says: {error}");
        }
        let received = &report["end"]["sum_received"];
        let number = |name: &str| {
            let number = received[name].as_f64();
            number.with_context(|| format!("iperf3 did not tell {name} of what was received"))
        };
        Ok(Self {
            gigabytes: number("bytes")? / 1e9,
            gigabits_per_second: number("bits_per_second")? / 1e9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_figures_count() {
        let report = r#"{
            "start": {"version": "iperf 3.12"},
            "end": {
                "sum_sent": {"bytes": 1600000000, "bits_per_second": 4.2e9, "retransmits": 3},
                "sum_received": {"bytes": 1500000000, "bits_per_second": 4000000000.5}
            }
        }"#;

        let stream = Stream::parse(report).unwrap();

        assert_eq!(stream.gigabytes, 1.5);
        assert_eq!(stream.gigabits_per_second, 4.000_000_000_5);
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_iperf3() {
        let report = r#"{"start": {}, "end": {}, "error": "unable to connect to server: Connection refused"}"#;

        let error = Stream::parse(report).unwrap_err();

        assert_eq!(
            error.to_string(),
            "iperf3 says: unable to connect to server: Connection refused"
        );
        assert!(Stream::parse("").is_err());
        assert!(Stream::parse(r#"{"end": {}}"#).is_err());
    }
}
