//! Places as points of the unit sphere, cells of space that hold them, and how near a cell can be to a client.
//!
//! A place on the ellipsoid with semi-axes a and b becomes the point of the unit sphere at its parametric (reduced) latitude, which is its
//! position in space divided by (a, a, b). The other way round, the linear map diag(a, a, b) makes the sphere the ellipsoid, and stretches
//! each step by a factor between b and a. So it stretches every path by no less than b, the geodesic too: no geodesic is shorter than b times
//! the angle between the two points, which is 2 asin(chord / 2). No better factor holds everywhere (it is reached at the poles), and the
//! longest geodesics are only a / b = 1.0034 times as long. About the parametric latitude: C. F. F. Karney, "Algorithms for geodesics",
//! J. Geodesy 87, 2013, equation 6.

use super::tree::KEY_DIGITS;
use crate::location::Location;

/// Half of the polar axis of WGS-84, in kilometres.
const POLAR_KM: f64 = 6_356.752_314_245;
/// Half of the polar axis over half of an equatorial one: 1 minus the flattening.
const AXES: f64 = 1.0 - 1.0 / 298.257_223_563;
/// More than a chord may be wrong by rounding, whose errors are below 1e-15.
const CHORD_ERROR: f64 = 1e-12;
/// More than a geodesic may be wrong by rounding, in kilometres: Karney's algorithm is good to 15 nanometres.
const GEODESIC_ERROR_KM: f64 = 1e-9;

/// A point of the unit sphere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point([f64; 3]);

/// A cube of space, one of the 8^depth equal ones that the cube around the unit sphere is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    depth: u32,
    /// Its place along each axis, from 0 to 2^depth − 1.
    place: [u32; 3],
}

impl Point {
    pub(super) fn of(location: &Location) -> Self {
        let (sin_latitude, cos_latitude) = location.latitude().to_radians().sin_cos();
        let (sin_longitude, cos_longitude) = location.longitude().to_radians().sin_cos();
        let (up, out) = (AXES * sin_latitude, cos_latitude);
        let length = up.hypot(out);
        let (up, out) = (up / length, out / length);
        Self([out * cos_longitude, out * sin_longitude, up])
    }

    /// The key of the smallest cell around the point: one octal digit for each level, the axes' bits side by side.
    pub(super) fn cell(&self) -> u64 {
        let size = f64::from(1 << (KEY_DIGITS - 1));
        let last = f64::from((1 << KEY_DIGITS) - 1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped to what fits"
        )]
        let places = self
            .0
            .map(|along| ((along + 1.0) * size).clamp(0.0, last) as u64);
        let digit = |depth: u32| {
            let bit = |place: u64| place >> (KEY_DIGITS - 1 - depth) & 1;
            bit(places[0]) << 2 | bit(places[1]) << 1 | bit(places[2])
        };
        (0..KEY_DIGITS).fold(0, |key, depth| key << 3 | digit(depth))
    }

    /// The square of the chord to another point.
    pub(super) fn squared_chord(&self, other: &Self) -> f64 {
        let along = |(own, other): (f64, f64)| (own - other) * (own - other);
        self.0.into_iter().zip(other.0).map(along).sum()
    }

    /// The square of the chord to the nearest point of a cell.
    pub(super) fn squared_chord_to_cell(&self, cell: &Cell) -> f64 {
        let size = 2.0 / f64::from(1 << cell.depth);
        let along = |(place, own): (u32, f64)| {
            let low = f64::from(place) * size - 1.0;
            let outside = (low - own).max(own - low - size).max(0.0);
            outside * outside
        };
        cell.place.into_iter().zip(self.0).map(along).sum()
    }
}

impl Cell {
    /// All of space that holds points.
    pub(super) const ALL: Self = Self {
        depth: 0,
        place: [0; 3],
    };

    /// The eighth that a digit, from 0 to 7, leads to. The smallest cells are not cut.
    pub(super) const fn part(self, digit: u32) -> Self {
        if self.depth == KEY_DIGITS {
            return self;
        }
        let [x, y, z] = self.place;
        Self {
            depth: self.depth + 1,
            place: [
                x << 1 | digit >> 2 & 1,
                y << 1 | digit >> 1 & 1,
                z << 1 | digit & 1,
            ],
        }
    }

    /// The smallest cell of this key.
    pub(super) const fn of_key(key: u64) -> Self {
        Self {
            depth: KEY_DIGITS,
            place: [
                every_third_bit(key >> 2),
                every_third_bit(key >> 1),
                every_third_bit(key),
            ],
        }
    }
}

/// The bits 0, 3, 6… of a key side by side, which are one axis' place. Gaps between groups of bits are closed, each time twice as wide ones.
#[expect(clippy::cast_possible_truncation, reason = "21 bits are left")]
const fn every_third_bit(key: u64) -> u32 {
    let mut bits = key & 0x1249_2492_4924_9249;
    bits = (bits | bits >> 2) & 0x10c3_0c30_c30c_30c3;
    bits = (bits | bits >> 4) & 0x100f_00f0_0f00_f00f;
    bits = (bits | bits >> 8) & 0x001f_0000_ff00_00ff;
    bits = (bits | bits >> 16) & 0x001f_0000_0000_ffff;
    bits = (bits | bits >> 32) & 0x001f_ffff;
    bits as u32
}

/// What no geodesic between two places is shorter than, in kilometres, given the square of the chord between their points.
pub(super) fn least_km(squared_chord: f64) -> f64 {
    let chord = squared_chord.sqrt() - CHORD_ERROR;
    let angle = 2.0 * (chord / 2.0).clamp(0.0, 1.0).asin();
    POLAR_KM * angle - GEODESIC_ERROR_KM
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_geodesic_is_shorter_than_its_bound_nor_much_longer(from in places(), to in places()) {
            let (from_point, to_point) = (Point::of(&from), Point::of(&to));
            let cell = Cell::of_key(to_point.cell());

            let squared_chord = from_point.squared_chord(&to_point);
            let squared_chord_to_cell = from_point.squared_chord_to_cell(&cell);

            let (bound, distance) = (least_km(squared_chord), from.distance_km(&to));
            prop_assert!(least_km(squared_chord_to_cell) <= distance, "{} {}", squared_chord_to_cell, distance);
            prop_assert!(bound <= distance, "{} > {}", bound, distance);
            // The flattening, and what an error of the chord makes of antipodes.
            prop_assert!(distance <= bound * 1.0034 + 0.03, "{} < {}", bound, distance);
            // A cell is 2^-20 wide.
            prop_assert!(squared_chord.sqrt() - squared_chord_to_cell.sqrt() < 1.7e-6);
        }

        #[test]
        fn each_cell_on_the_way_to_a_point_holds_it(location in places()) {
            let point = Point::of(&location);
            let key = point.cell();

            let mut cell = Cell::ALL;
            for depth in 0..KEY_DIGITS {
                cell = cell.part((key >> (3 * (KEY_DIGITS - 1 - depth)) & 7).try_into().unwrap());
                prop_assert!(point.squared_chord_to_cell(&cell) < 1e-30);
            }
            prop_assert_eq!(cell, Cell::of_key(key));
        }
    }

    /// Anywhere, with poles, the antimeridian, antipodes and close neighbours more often than by chance.
    fn places() -> impl Strategy<Value = Location> {
        let latitude = prop_oneof![
            -90.0..=90.0,
            Just(90.0),
            Just(-90.0),
            Just(0.0),
            -1e-6..1e-6
        ];
        let longitude = prop_oneof![
            -180.0..=180.0,
            Just(180.0),
            Just(-180.0),
            Just(0.0),
            179.4..180.0,
            -1e-6..1e-6
        ];
        (latitude, longitude)
            .prop_map(|(latitude, longitude)| Location::new(latitude, longitude).unwrap())
    }
}
