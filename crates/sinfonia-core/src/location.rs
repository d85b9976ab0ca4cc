//! Places on earth and the distance between them.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use geographiclib_rs::{Geodesic, InverseGeodesic};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// The ellipsoid that GPS and the GeoIP databases use.
static WGS84: LazyLock<Geodesic> = LazyLock::new(Geodesic::wgs84);

/// Why a pair of numbers, or a text, is not a place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LocationError {
    /// Not exactly two numbers.
    #[error("a location is exactly two numbers, [latitude, longitude], not {0}")]
    Count(usize),
    /// A part is not a number.
    #[error(
        "`{0}` is not a location: expected latitude,longitude in degrees, such as 40.44,-79.94"
    )]
    NotANumber(String),
    /// The latitude is beyond a pole, or not finite.
    #[error("latitude {0} is outside -90 to 90 degrees")]
    Latitude(f64),
    /// The longitude is beyond the antimeridian, or not finite.
    #[error("longitude {0} is outside -180 to 180 degrees")]
    Longitude(f64),
}

/// A place on earth, in degrees on WGS-84. Serialised as `[latitude, longitude]`, displayed as `latitude,longitude`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    latitude: f64,
    longitude: f64,
}

text::written_as!(Location, "Location", {
    "type": "array",
    "description": "A place on earth: latitude and longitude in degrees.",
    "prefixItems": [
        {"type": "number", "minimum": -90, "maximum": 90},
        {"type": "number", "minimum": -180, "maximum": 180},
    ],
    "items": false,
    "minItems": 2,
    "examples": [[40.4439, -79.9444]],
});

impl Location {
    /// Makes a place of latitude (−90 to 90) and longitude (−180 to 180), both in degrees.
    ///
    /// # Errors
    /// A number is out of its range or not finite.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, LocationError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(LocationError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(LocationError::Longitude(longitude));
        }
        Ok(Self {
            latitude,
            longitude,
        })
    }

    /// Degrees north of the equator, −90 to 90.
    pub const fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east of Greenwich, −180 to 180.
    pub const fn longitude(&self) -> f64 {
        self.longitude
    }

    /// The length in kilometres of the geodesic to the other place (C. F. F. Karney, "Algorithms for geodesics", J. Geodesy 87, 2013).
    pub fn distance_km(&self, other: &Self) -> f64 {
        let metres: f64 = WGS84.inverse(
            self.latitude,
            self.longitude,
            other.latitude,
            other.longitude,
        );
        metres / 1000.0
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [latitude, longitude] = parts[..] else {
            return Err(LocationError::Count(parts.len()));
        };
        Self::new(degrees(latitude)?, degrees(longitude)?)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{},{}", self.latitude, self.longitude)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.latitude, self.longitude].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LocationVisitor)
    }
}

/// Judges the numbers inside the visitor, where the YAML parser still knows the line.
struct LocationVisitor;

impl<'de> Visitor<'de> for LocationVisitor {
    type Value = Location;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[latitude, longitude] in degrees")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Location, A::Error> {
        let mut found = Vec::with_capacity(2);
        while let Some(number) = numbers.next_element::<f64>()? {
            found.push(number);
        }
        let [latitude, longitude] = found[..] else {
            return Err(A::Error::custom(LocationError::Count(found.len())));
        };
        Location::new(latitude, longitude).map_err(A::Error::custom)
    }
}

fn degrees(text: &str) -> Result<f64, LocationError> {
    text.parse()
        .map_err(|_| LocationError::NotANumber(text.escape_default().take(40).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    // Vincenty's and Karney's published example: Flinders Peak to Buninyong, 54,972.271 m.
    #[case::flinders_peak((-37.951_033_416_7, 144.424_867_889), (-37.652_821_138_9, 143.926_495_528), 54.972)]
    #[case::across_the_antimeridian((0.0, 179.5), (0.0, -179.5), 111.319)]
    #[case::pole_to_pole((90.0, 0.0), (-90.0, 0.0), 20_003.931)]
    #[case::every_longitude_is_the_pole((90.0, 12.0), (90.0, -120.0), 0.0)]
    #[case::nearly_antipodal((0.0, 0.0), (0.5, 179.5), 19_936.289)]
    fn distances_follow_the_ellipsoid(
        #[case] from: (f64, f64),
        #[case] to: (f64, f64),
        #[case] expected_km: f64,
    ) {
        let from = Location::new(from.0, from.1).unwrap();
        let to = Location::new(to.0, to.1).unwrap();

        assert!(
            (from.distance_km(&to) - expected_km).abs() < 0.001,
            "{}",
            from.distance_km(&to)
        );
    }

    #[rstest]
    #[case("40.4439,-79.9444", Ok(Location { latitude: 40.4439, longitude: -79.9444 }))]
    #[case("90, 180", Ok(Location { latitude: 90.0, longitude: 180.0 }))]
    #[case("91,0", Err(LocationError::Latitude(91.0)))]
    #[case("0,-180.1", Err(LocationError::Longitude(-180.1)))]
    #[case("inf,0", Err(LocationError::Latitude(f64::INFINITY)))]
    #[case("1", Err(LocationError::Count(1)))]
    #[case("1,2,3", Err(LocationError::Count(3)))]
    #[case("1,b", Err(LocationError::NotANumber("b".into())))]
    #[case(",", Err(LocationError::NotANumber(String::new())))]
    fn a_location_header_is_two_numbers_in_range(
        #[case] text: &str,
        #[case] expected: Result<Location, LocationError>,
    ) {
        assert_eq!(text.parse(), expected);
    }

    #[test]
    fn not_a_number_is_no_latitude() {
        assert!(matches!(
            "NaN,0".parse::<Location>(),
            Err(LocationError::Latitude(_))
        ));
    }

    proptest! {
        #[test]
        fn every_location_survives_text_and_json(latitude in -90.0..=90.0, longitude in -180.0..=180.0) {
            let location = Location::new(latitude, longitude).unwrap();
            let json = serde_json::to_string(&location).unwrap();

            prop_assert_eq!(location.to_string().parse(), Ok(location));
            prop_assert_eq!(serde_json::from_str::<Location>(&json).unwrap(), location);
        }

        #[test]
        fn distance_is_symmetric(a in (-90.0..=90.0, -180.0..=180.0), b in (-90.0..=90.0, -180.0..=180.0)) {
            let a = Location::new(a.0, a.1).unwrap();
            let b = Location::new(b.0, b.1).unwrap();

            prop_assert!((a.distance_km(&b) - b.distance_km(&a)).abs() < 1e-6);
        }
    }
}
