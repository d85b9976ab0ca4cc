//! Round trips that a client measured to cloudlets, and how much of them is believed.
//!
//! A client tells them in the header `X-RTT: <cloudlet uuid>=<ms>,…`. They move cloudlets for its own request alone, so that a lie moves
//! only the liar; still nothing is taken that cannot be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::client::ClientInfo;
use crate::cloudlet::Cloudlet;

/// The header that tells round trips.
pub const X_RTT: &str = "x-rtt";
/// Most round trips that a header tells; more make it malformed.
pub const MOST_ROUND_TRIPS: usize = 64;
/// Longest round trip, in milliseconds: whoever answers later serves nobody.
pub const LONGEST_RTT_MS: f64 = 10_000.0;
/// Kilometres that a signal travels in a millisecond at most. Light travels 299.8 in a vacuum, and some 200 in glass.
const FASTEST_KM_PER_MS: f64 = 300.0;

/// Why a header tells no round trips.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoundTripsError {
    /// An entry is no pair of uuid and number.
    #[error("`{0}` is not a cloudlet's uuid, =, and milliseconds")]
    Entry(String),
    /// A cloudlet is named twice.
    #[error("{0} is there twice")]
    Repeated(Uuid),
    /// There are too many entries.
    #[error("there are more than {MOST_ROUND_TRIPS} round trips")]
    TooMany,
}

/// Measured round trips by cloudlet, in milliseconds, each above 0 and at most [`LONGEST_RTT_MS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RoundTrips(BTreeMap<Uuid, f64>);

impl RoundTrips {
    /// Takes a measurement in, in milliseconds, unless it is out of range or there are [`MOST_ROUND_TRIPS`] already.
    pub fn take(&mut self, cloudlet: Uuid, rtt_ms: f64) {
        let is_in_range = rtt_ms > 0.0 && rtt_ms <= LONGEST_RTT_MS;
        if is_in_range && self.0.len() < MOST_ROUND_TRIPS {
            self.0.insert(cloudlet, rtt_ms);
        }
    }

    /// What was measured to a cloudlet, in milliseconds.
    pub fn get(&self, cloudlet: Uuid) -> Option<f64> {
        self.0.get(&cloudlet).copied()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was measured to a cloudlet, in milliseconds, unless no signal can be there and back so fast. Where one of the places is not
    /// known, nothing speaks against it.
    pub fn believed(&self, client: &ClientInfo, cloudlet: &Cloudlet) -> Option<f64> {
        let rtt_ms = self.get(cloudlet.uuid)?;
        let place = client.location();
        let distance_km = place.and_then(|place| cloudlet.distance_km(&place));
        (rtt_ms >= shortest_rtt_ms(distance_km.unwrap_or(0.0))).then_some(rtt_ms)
    }
}

/// The shortest round trip over a distance in kilometres, in milliseconds: there and back, nothing is faster than light.
fn shortest_rtt_ms(distance_km: f64) -> f64 {
    2.0 * distance_km / FASTEST_KM_PER_MS
}

impl FromStr for RoundTrips {
    type Err = RoundTripsError;

    /// Reads the value of the header. A number that is out of range is left out.
    fn from_str(text: &str) -> Result<Self, RoundTripsError> {
        let mut seen = BTreeMap::new();
        for entry in text.split(',') {
            let (cloudlet, rtt_ms) = parse_entry(entry.trim())?;
            if seen.insert(cloudlet, rtt_ms).is_some() {
                return Err(RoundTripsError::Repeated(cloudlet));
            }
            if seen.len() > MOST_ROUND_TRIPS {
                return Err(RoundTripsError::TooMany);
            }
        }
        let mut round_trips = Self::default();
        for (cloudlet, rtt_ms) in seen {
            round_trips.take(cloudlet, rtt_ms);
        }
        Ok(round_trips)
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (cloudlet, rtt_ms)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{cloudlet}={rtt_ms}")?;
        }
        Ok(())
    }
}

fn parse_entry(entry: &str) -> Result<(Uuid, f64), RoundTripsError> {
    let parsed = entry.split_once('=').and_then(|(cloudlet, rtt_ms)| {
        let cloudlet = Uuid::try_parse(cloudlet.trim_end()).ok()?;
        Some((cloudlet, rtt_ms.trim_start().parse().ok()?))
    });
    parsed.ok_or_else(|| RoundTripsError::Entry(entry.escape_default().take(60).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::cloudlet::{CloudletInfo, Surroundings};
    use crate::location::Location;

    const A: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    const B: &str = "0e3d1c2b-5a69-4788-9b07-1c2d3e4f5a6b";

    #[rstest]
    #[case::one(format!("{A}=12.5"), &[(A, 12.5)])]
    #[case::two(format!("{A}=12.5,{B}=3"), &[(A, 12.5), (B, 3.0)])]
    #[case::blanks(format!(" {A} = 12.5 , {B}= 3"), &[(A, 12.5), (B, 3.0)])]
    #[case::another_spelling("7C9E6679742540DE944BE07FC1F90AE7=1e3".to_owned(), &[(A, 1000.0)])]
    #[case::longest(format!("{A}=10000"), &[(A, 10_000.0)])]
    #[case::too_long(format!("{A}=10000.1,{B}=3"), &[(B, 3.0)])]
    #[case::zero(format!("{A}=0,{B}=3"), &[(B, 3.0)])]
    #[case::negative(format!("{A}=-1,{B}=3"), &[(B, 3.0)])]
    #[case::infinite(format!("{A}=inf,{B}=3"), &[(B, 3.0)])]
    #[case::not_a_number(format!("{A}=NaN"), &[])]
    fn a_header_tells_round_trips_that_are_in_range(
        #[case] header: String,
        #[case] expected: &[(&str, f64)],
    ) {
        let expected = expected
            .iter()
            .map(|(cloudlet, rtt_ms)| (cloudlet.parse().unwrap(), *rtt_ms));

        assert_eq!(header.parse(), Ok(RoundTrips(expected.collect())));
    }

    #[rstest]
    #[case::empty(String::new(), RoundTripsError::Entry(String::new()))]
    #[case::no_number(format!("{A}="), RoundTripsError::Entry(format!("{A}=")))]
    #[case::a_word(format!("{A}=fast"), RoundTripsError::Entry(format!("{A}=fast")))]
    #[case::a_unit(format!("{A}=5ms"), RoundTripsError::Entry(format!("{A}=5ms")))]
    #[case::no_uuid("cloudlet=5".to_owned(), RoundTripsError::Entry("cloudlet=5".to_owned()))]
    #[case::no_pair(A.to_owned(), RoundTripsError::Entry(A.to_owned()))]
    #[case::a_hole(format!("{A}=5,,{B}=5"), RoundTripsError::Entry(String::new()))]
    #[case::twice(format!("{A}=5,{A}=6"), RoundTripsError::Repeated(A.parse().unwrap()))]
    #[case::too_many(many(65), RoundTripsError::TooMany)]
    fn a_malformed_header_tells_nothing(#[case] header: String, #[case] expected: RoundTripsError) {
        assert_eq!(header.parse::<RoundTrips>(), Err(expected));
    }

    #[test]
    fn as_many_as_may_be_are_taken() {
        let mut round_trips: RoundTrips = many(64).parse().unwrap();

        round_trips.take(A.parse().unwrap(), 1.0);

        assert_eq!(round_trips.0.len(), 64);
        assert_eq!(round_trips.get(A.parse().unwrap()), None);
    }

    #[rstest]
    // Pittsburgh to Paris, 6,285 km: light needs 41.9 ms there and back.
    #[case::slower_than_light(Some((48.8566, 2.3522)), 42.0, true)]
    #[case::faster_than_light(Some((48.8566, 2.3522)), 41.8, false)]
    #[case::at_the_same_place(Some((40.4439, -79.9444)), 0.001, true)]
    #[case::nobody_knows_where(None, 0.001, true)]
    fn nothing_is_believed_to_be_faster_than_light(
        #[case] cloudlet: Option<(f64, f64)>,
        #[case] rtt_ms: f64,
        #[case] believed: bool,
    ) {
        let pittsburgh = Location::new(40.4439, -79.9444).unwrap();
        let client = ClientInfo::new("192.0.2.1".parse().unwrap(), Some(pittsburgh));
        let place = cloudlet.map(|(lat, lon)| vec![Location::new(lat, lon).unwrap()]);
        let info = CloudletInfo {
            locations: place,
            ..CloudletInfo::at("http://c.example/api/v1/deploy".parse().unwrap())
        };
        let cloudlet = Cloudlet::new(info, &Surroundings::default());
        let mut round_trips = RoundTrips::default();
        round_trips.take(cloudlet.uuid, rtt_ms);

        let told = round_trips.believed(&client, &cloudlet);

        assert_eq!(told, believed.then_some(rtt_ms));
    }

    #[test]
    fn a_client_whose_place_is_unknown_is_believed() {
        let client = ClientInfo::new("192.0.2.1".parse().unwrap(), None);
        let info = CloudletInfo {
            locations: Some(vec![Location::new(48.8566, 2.3522).unwrap()]),
            uuid: Some(A.parse().unwrap()),
            ..CloudletInfo::at("http://c.example/api/v1/deploy".parse().unwrap())
        };
        let cloudlet = Cloudlet::new(info, &Surroundings::default());
        let round_trips: RoundTrips = format!("{A}=0.5,{B}=7").parse().unwrap();

        assert_eq!(round_trips.believed(&client, &cloudlet), Some(0.5));
    }

    proptest! {
        #[test]
        fn round_trips_survive_their_header(told in prop::collection::btree_map(any::<u128>(), 0.001..10_000.0, 1..64)) {
            let mut round_trips = RoundTrips::default();
            for (cloudlet, rtt_ms) in told {
                round_trips.take(Uuid::from_u128(cloudlet), rtt_ms);
            }

            prop_assert_eq!(round_trips.to_string().parse(), Ok(round_trips));
        }

        #[test]
        fn no_header_makes_the_parser_fail_badly(header in "([0-9a-f-]{1,36}|=|,|inf|NaN|[0-9.]{1,5}|\\PC){0,20}") {
            if let Ok(round_trips) = header.parse::<RoundTrips>() {
                prop_assert!(round_trips.0.values().all(|rtt_ms| *rtt_ms > 0.0 && *rtt_ms <= LONGEST_RTT_MS));
            }
        }
    }

    fn many(number: u128) -> String {
        let entries = (0..number).map(|number| format!("{}=5", Uuid::from_u128(number)));
        entries.collect::<Vec<_>>().join(",")
    }
}
