//! What is shown of a tunnel in one line.

use std::fmt;
use std::time::Duration;

use crate::printable::Printable;

/// What is known of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Who is at the other end.
    pub(crate) cloudlet: Printable,
    /// How the other end answers.
    pub(crate) health: Health,
    /// Bytes to the cloudlets.
    pub(crate) sent_bytes: u64,
    /// Bytes from the cloudlets.
    pub(crate) received_bytes: u64,
    /// What is left of the lease, where it is known.
    pub(crate) lease: Option<Duration>,
}

/// How a cloudlet answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does; the last handshake took this long, where there was one.
    Answers(Option<Duration>),
    /// It has not done so for a while.
    Silent(Duration),
    /// The same, and another cloudlet is being looked for.
    Searching(Duration),
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cloudlet)?;
        match self.health {
            Health::Answers(None) => {}
            Health::Answers(Some(time)) => write!(formatter, " · rtt {}", milliseconds(time))?,
            Health::Silent(time) => write!(formatter, " · silent for {} s", time.as_secs())?,
            Health::Searching(time) => write!(
                formatter,
                " · silent for {} s, looking for another cloudlet",
                time.as_secs()
            )?,
        }
        let (sent, received) = (bytes(self.sent_bytes), bytes(self.received_bytes));
        write!(formatter, " · ↑ {sent} ↓ {received}")?;
        if let Some(lease) = self.lease {
            let (minutes, seconds) = (lease.as_secs() / 60, lease.as_secs() % 60);
            write!(formatter, " · lease {minutes}:{seconds:02}")?;
        }
        Ok(())
    }
}

/// With one decimal below 10 ms, where it makes a difference.
fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

/// In powers of 1000, with two digits at least.
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        // What would be rounded to 1000 is written with the larger unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit != "B" && value < 9.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_line_tells_cloudlet_round_trip_traffic_and_lease() {
        let status = status(Health::Answers(Some(Duration::from_micros(12_400))));

        assert_eq!(
            status.to_string(),
            "Pittsburgh · rtt 12 ms · ↑ 1.2 MB ↓ 34 MB · lease 4:02"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let status = Status {
            lease: None,
            ..status(Health::Answers(None))
        };

        assert_eq!(status.to_string(), "Pittsburgh · ↑ 1.2 MB ↓ 34 MB");
    }

    #[rstest]
    #[case(Health::Silent(Duration::from_millis(7_900)), "silent for 7 s")]
    #[case(
        Health::Searching(Duration::from_secs(16)),
        "silent for 16 s, looking for another cloudlet"
    )]
    fn trouble_takes_the_place_of_the_round_trip(#[case] health: Health, #[case] told: &str) {
        assert_eq!(
            status(health).to_string(),
            format!("Pittsburgh · {told} · ↑ 1.2 MB ↓ 34 MB · lease 4:02")
        );
    }

    #[rstest]
    #[case(0, "0 B")]
    #[case(999, "999 B")]
    #[case(1_000, "1.0 kB")]
    #[case(9_949, "9.9 kB")]
    #[case(9_950, "10 kB")]
    #[case(999_499, "999 kB")]
    #[case(999_500, "1.0 MB")]
    #[case(5_000_000_000_000_000, "5000 TB")]
    fn traffic_is_written_shortly(#[case] count: u64, #[case] expected: &str) {
        assert_eq!(bytes(count), expected);
    }

    #[rstest]
    #[case(340, "0.3 ms")]
    #[case(9_940, "9.9 ms")]
    #[case(12_600, "13 ms")]
    fn round_trips_are_written_shortly(#[case] microseconds: u64, #[case] expected: &str) {
        assert_eq!(milliseconds(Duration::from_micros(microseconds)), expected);
    }

    fn status(health: Health) -> Status {
        Status {
            cloudlet: Printable::new("Pittsburgh"),
            health,
            sent_bytes: 1_234_567,
            received_bytes: 34_000_000,
            lease: Some(Duration::from_secs(242)),
        }
    }
}
