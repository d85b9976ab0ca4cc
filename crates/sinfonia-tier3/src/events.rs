//! What happens while an application runs inside the tunnel: told to people as notes, to programs as lines of JSON.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sinfonia_core::deployment::{CloudletDeployment, CloudletReference};
use sinfonia_core::time;

use crate::printable::Printable;

/// Something that happened. Names and members are a contract with programs: more may come, none changes.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// The backend runs.
    Deployed {
        /// Where, if the server tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudlet: Option<&'a CloudletReference>,
        /// The whole answer.
        deployment: &'a CloudletDeployment,
    },
    /// The cloudlet's end of the tunnel answered.
    Connected {
        /// Where it is.
        endpoint: SocketAddr,
        /// How long the handshake took.
        #[serde(flatten)]
        round_trip: RoundTrip,
    },
    /// The application runs.
    Started {
        /// Its process.
        pid: u32,
    },
    /// The tunnel stays for others.
    Kept,
    /// The lease was extended.
    Renewed {
        /// To when, if the server tells.
        #[serde(with = "time::optional", skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
    },
    /// The lease was not extended; another try follows.
    NotRenewed {
        /// Why not.
        reason: String,
    },
    /// The cloudlet's end of the tunnel does not answer.
    Silent {
        /// Whose end, if the server told.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudlet: Option<&'a CloudletReference>,
    },
    /// It answers again.
    Recovered,
    /// Its host name leads to another address by now.
    EndpointChanged {
        /// Where it is tried from now on.
        endpoint: SocketAddr,
    },
    /// Tier 1 is asked for another cloudlet.
    FailingOver {
        /// The cloudlet that is to be left, if the server told.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudlet: Option<&'a CloudletReference>,
    },
    /// There is no other cloudlet; another try follows.
    NotFailedOver {
        /// Why not.
        reason: String,
    },
    /// The tunnel leads to another cloudlet, or to another deployment on the same.
    FailedOver {
        /// Where to, if the server tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudlet: Option<&'a CloudletReference>,
        /// The whole answer.
        deployment: &'a CloudletDeployment,
    },
    /// What went through the tunnel so far.
    Statistics {
        /// Bytes to the cloudlets, WireGuard's own included.
        sent_bytes: u64,
        /// Bytes from the cloudlets, WireGuard's own included.
        received_bytes: u64,
        /// How long the last handshake took.
        #[serde(flatten)]
        round_trip: RoundTrip,
    },
    /// The application ended.
    Ended {
        /// Its exit code, as a shell has it.
        exit_code: u8,
    },
    /// What was deployed was given back.
    Released {
        /// Where, if the server told.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudlet: Option<&'a CloudletReference>,
    },
    /// What was deployed could not be given back; it ends with its lease.
    NotReleased {
        /// Why not.
        reason: String,
    },
    /// It did not come to run the application.
    Error {
        /// What went wrong, with its causes.
        message: String,
        /// What to do about it.
        hint: String,
        /// What the process exits with.
        exit_code: u8,
    },
}

/// The time of a handshake, as the member `round_trip_ms`, in milliseconds with three decimals; without it where none was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RoundTrip {
    #[serde(
        rename = "round_trip_ms",
        serialize_with = "as_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    time: Option<Duration>,
}

impl From<Option<Duration>> for RoundTrip {
    fn from(time: Option<Duration>) -> Self {
        Self { time }
    }
}

#[expect(clippy::ref_option, reason = "serde asks for this signature")]
fn as_milliseconds<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let microseconds = time.unwrap_or_default().as_micros() as f64;
    serializer.serialize_f64(microseconds / 1000.0)
}

/// An event with its time, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event<'a>,
    time: String,
}

/// Who is told of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A program, which reads every event from stderr.
    Program,
    /// People who read stderr later, or beside the application.
    People,
    /// People whose terminal the application has, and those who want to hear of nothing.
    Nobody,
}

impl Event<'_> {
    /// The event at this time as a line of JSON.
    pub(crate) fn line(&self, now: Timestamp) -> Option<String> {
        let line = Line {
            event: self,
            time: time::format(now),
        };
        serde_json::to_string(&line).ok()
    }

    /// The event for people, if it is one that they want to hear of.
    pub(crate) fn note(&self) -> Option<String> {
        Some(match self {
            Self::Silent { cloudlet } => format!("note: {} does not answer", name(*cloudlet)),
            Self::Recovered => "note: it answers again".to_owned(),
            Self::EndpointChanged { endpoint } => {
                format!("note: its host name leads to {endpoint} by now")
            }
            Self::FailingOver { .. } => "note: asking Tier 1 for another cloudlet".to_owned(),
            Self::NotFailedOver { reason } => format!("note: there is no other cloudlet: {reason}"),
            Self::FailedOver { cloudlet, .. } => {
                format!("note: the tunnel leads to {} now", name(*cloudlet))
            }
            Self::NotReleased { reason } => format!("note: {reason}"),
            _ => return None,
        })
    }
}

impl Audience {
    /// Tells an event.
    pub(crate) fn hear(self, event: &Event<'_>) {
        let text = match self {
            Self::Program => event.line(Timestamp::now()),
            Self::People => event.note(),
            Self::Nobody => None,
        };
        if let Some(text) = text {
            // One write, so that no line of the application's comes between. Nobody is left to tell when stderr is closed.
            let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
        }
    }
}

/// A cloudlet as people are told of it.
pub(crate) fn name(cloudlet: Option<&CloudletReference>) -> Printable {
    Printable::new(cloudlet.map_or("the cloudlet", |cloudlet| &cloudlet.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_lines_that_programs_know_by_their_names() {
        let deployment = deployment();
        let cloudlet = deployment.cloudlet.as_ref();
        let endpoint = "203.0.113.7:51820".parse().unwrap();
        let round_trip = Some(Duration::from_micros(12_345)).into();
        let expires = deployment.expires;
        let events = [
            Event::Deployed {
                cloudlet,
                deployment: &deployment,
            },
            Event::Connected {
                endpoint,
                round_trip,
            },
            Event::Started { pid: 7 },
            Event::Kept,
            Event::Renewed { expires },
            Event::Renewed { expires: None },
            Event::NotRenewed { reason: "r".into() },
            Event::Silent { cloudlet },
            Event::Silent { cloudlet: None },
            Event::Recovered,
            Event::EndpointChanged { endpoint },
            Event::FailingOver { cloudlet },
            Event::NotFailedOver { reason: "r".into() },
            Event::FailedOver {
                cloudlet,
                deployment: &deployment,
            },
            Event::Statistics {
                sent_bytes: 1,
                received_bytes: 2,
                round_trip: None.into(),
            },
            Event::Ended { exit_code: 7 },
            Event::Released { cloudlet },
            Event::NotReleased { reason: "r".into() },
            Event::Error {
                message: "m".into(),
                hint: "h".into(),
                exit_code: 125,
            },
        ];

        let now = "2026-11-22T15:09:00Z".parse().unwrap();
        let lines = events.map(|event| event.line(now).unwrap());

        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn people_hear_what_changes_for_the_application() {
        let deployment = deployment();
        let cloudlet = deployment.cloudlet.as_ref();

        let told = [
            Event::Silent { cloudlet },
            Event::Silent { cloudlet: None },
            Event::FailedOver {
                cloudlet,
                deployment: &deployment,
            },
            Event::Started { pid: 7 },
        ]
        .map(|event| event.note());

        assert_eq!(
            told.each_ref().map(Option::as_deref),
            [
                Some("note: Pitts\u{fffd}burgh does not answer"),
                Some("note: the cloudlet does not answer"),
                Some("note: the tunnel leads to Pitts\u{fffd}burgh now"),
                None
            ]
        );
    }

    fn deployment() -> CloudletDeployment {
        serde_json::from_value(json!({
            "UUID": "00000000-0000-0000-0000-000000000000",
            "ApplicationKey": "QROKEJzmRbhtdJleQSlp1HgZi1Tm6HcTgAtO8Q38Vhw=",
            "Status": "Deployed",
            "TunnelConfig": {
                "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                "allowedIPs": ["0.0.0.0/0"],
                "endpoint": "203.0.113.7:51820",
                "address": ["10.5.17.4"],
                "dns": ["10.43.0.10"],
            },
            "Expires": "2026-11-22T15:14:00+00:00",
            "Cloudlet": {
                "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                "name": "Pitts\u{9b}burgh",
                "endpoint": "http://cloudlet:5000/api/v1/deploy",
            },
        }))
        .unwrap()
    }
}
