//! Places as points of the unit sphere, cells of space that hold them, and how near to a client they can be.
//!
//! A place on the ellipsoid with semi-axes a and b becomes the point of the unit sphere at its parametric (reduced) latitude, which is its
//! position in space divided by (a, a, b) (C. F. F. Karney, "Algorithms for geodesics", J. Geodesy 87, 2013, equation 6). The other way round,
//! the linear map diag(a, a, b) makes the sphere the ellipsoid. It stretches a step in the direction of the unit vector v by
//! √(a² − k v_z²), k = a² − b² = e² a², which is between b and a. Two bounds of the geodesic distance s follow from that, the first for
//! any two points, the second for those that are at most 150° apart.
//!
//! 1. No path is stretched by less than b, so s ≥ b σ, where σ is the angle between the points, 2 asin(chord / 2).
//! 2. Let U(X) be the stretched length of the great circle from the client to X. Along every path the stretched length is at least what U
//!    grows by, divided by the largest slope of U as the ellipsoid measures it, so s ≥ U / slope. With r the angle to X, R and N the unit
//!    vectors along and across the great circle there, w = R_z / q and q = √(a² − k R_z²), U grows by q along the great circle and by
//!    ∫ k d w cos t dt / sin r across it, the integral going from 0 to r, where d = |N_z| is the same all along. If that were k d w(r), the
//!    slope would be 1; where it differs by ε the slope is at most √(1 + (ε / b)²). As ∫ cos t dt = sin r, ε is
//!    ∫ k d (w(t) − w(r)) cos t dt / sin r, and as w changes by at most a² √(1 − d²) / b³ for each radian and d √(1 − d²) ≤ 1/2,
//!    |ε| ≤ (k a² / 2 b³) m, m = ∫ (r − t) |cos t| dt / sin r, which grows with r. It is (1 − cos r) / sin r up to a right angle, then
//!    (2 r − π + 1 + cos r) / sin r. A shortest path does not leave r ≤ σ a / b. U itself is at least
//!    a (σ − (e² / 2 + 0.1275 e⁴) ∫ R_z² dt), because √(1 − x) ≥ 1 − x / 2 − 0.1275 x² for 0 ≤ x ≤ e², and x⁴ ≤ x² for what is at most 1.
//!
//! The first is up to a third of a percent short of the distance; the second by 1.5 millionths when the place is near, by 6 at 80°, and by
//! 130 at 150°.

use std::f64::consts::PI;

use super::tree::KEY_DIGITS;
use crate::location::Location;

/// Half of an equatorial axis of WGS-84, in kilometres: a.
const EQUATORIAL_KM: f64 = 6_378.137;
/// Half of the polar axis over that: b / a, 1 minus the flattening.
const AXES: f64 = 1.0 - 1.0 / 298.257_223_563;
/// Half of the polar axis, in kilometres: b.
const POLAR_KM: f64 = EQUATORIAL_KM * AXES;
/// The square of the eccentricity: e².
const ECCENTRICITY_2: f64 = 1.0 - AXES * AXES;
/// How much the slope may be off for each unit of m: k a² / (2 b⁴).
const SLOPE: f64 = ECCENTRICITY_2 / (2.0 * AXES * AXES * AXES * AXES);
/// More than a chord may be wrong by rounding, whose errors are below 1e-15.
const CHORD_ERROR: f64 = 1e-12;
/// Up to where the second bound is used: the cosine of 150°.
const FARTHEST: f64 = -0.866_025_403_784;
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

    /// What no geodesic to another place is shorter than, in kilometres.
    pub(super) fn least_km(&self, other: &Self) -> f64 {
        let squared_chord = self.squared_chord(other);
        let simple = least_km(squared_chord);
        let (cosine, chord) = (
            1.0 - squared_chord / 2.0,
            squared_chord.sqrt() - CHORD_ERROR,
        );
        if cosine < FARTHEST || chord <= CHORD_ERROR {
            return simple;
        }
        let angle = 2.0 * (chord / 2.0).asin();
        let sine = chord * (1.0 - squared_chord / 4.0).sqrt();
        let (from, to) = (self.0[2], other.0[2]);
        // R_z is course · cos t − from · sin t.
        let course = ((to - from * cosine) / sine).clamp(-1.0, 1.0);
        let integral = course * course * f64::midpoint(angle, sine * cosine)
            + from * from * f64::midpoint(angle, -sine * cosine)
            - course * from * sine * sine;
        let shortening = ECCENTRICITY_2 / 2.0 + 0.1275 * ECCENTRICITY_2 * ECCENTRICITY_2;
        let length = EQUATORIAL_KM * (angle - shortening * integral);
        simple.max(length / 1.0_f64.hypot(SLOPE * mean(angle / AXES)) - GEODESIC_ERROR_KM)
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

    /// What no geodesic from a place to one in the cell is shorter than, in kilometres, where that is more than is clear from the chord
    /// already: from the closer bound for the cell's middle, and what a geodesic from there to a place in the cell takes at most.
    pub(super) fn least_km_from(&self, from: &Point) -> Option<f64> {
        let size = 2.0 / f64::from(1 << self.depth);
        let middle = self
            .place
            .map(|place| (f64::from(place) + 0.5) * size - 1.0);
        let length = middle.iter().map(|along| along * along).sum::<f64>().sqrt();
        // The chord from the middle of the cell's part of the sphere is no longer than the cell's diagonal.
        let reach = EQUATORIAL_KM * 2.0 * (size * 3.0_f64.sqrt() / 2.0).clamp(0.0, 1.0).asin();
        let middle = Point(middle.map(|along| along / length));
        let chord = from.squared_chord(&middle).sqrt();
        let gain = chord * EQUATORIAL_KM * (1.0 - AXES);
        (self.depth > 2 && gain > 2.0 * reach).then(|| from.least_km(&middle) - reach)
    }

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

/// What no geodesic between two places is shorter than, in kilometres, by the first bound, given the square of the chord between their points.
pub(super) fn least_km(squared_chord: f64) -> f64 {
    let chord = squared_chord.sqrt() - CHORD_ERROR;
    let angle = 2.0 * (chord / 2.0).clamp(0.0, 1.0).asin();
    POLAR_KM * angle - GEODESIC_ERROR_KM
}

/// The m of the second bound, for an angle below π.
fn mean(angle: f64) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    if cosine >= 0.0 {
        (1.0 - cosine) / sine
    } else {
        (2.0 * angle - PI + 1.0 + cosine) / sine
    }
}

/// The squared chord of which that bound is so many kilometres.
pub(super) fn squared_chord_of(km: f64) -> f64 {
    let half = (km.max(0.0) / (2.0 * POLAR_KM)).sin();
    4.0 * half * half
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

            let (bound, close) = (least_km(squared_chord), from_point.least_km(&to_point));
            let distance = from.distance_km(&to);
            prop_assert!(least_km(squared_chord_to_cell) <= distance, "{} {}", squared_chord_to_cell, distance);
            prop_assert!(bound <= close && close <= distance, "{} {} {}", bound, close, distance);
            // The flattening, and what an error of the chord makes of antipodes.
            prop_assert!(distance <= bound * 1.0034 + 0.03, "{} < {}", bound, distance);
            let gap = if distance < 8900.0 { 6e-6 } else if distance < 16_600.0 { 130e-6 } else { 1.0 };
            prop_assert!(distance <= close * (1.0 + gap) + 1e-8, "{} < {}", close, distance);
            // A cell is 2^-20 wide.
            prop_assert!(squared_chord.sqrt() - squared_chord_to_cell.sqrt() < 1.7e-6);
        }

        #[test]
        fn a_distance_survives_its_chord(km in 0.0..19_000.0) {
            let back = least_km(squared_chord_of(km));

            prop_assert!(back <= km && km - back < 1e-6, "{} {}", km, back);
        }

        #[test]
        fn each_cell_on_the_way_to_a_point_holds_it_and_is_no_farther(location in places(), client in places()) {
            let (point, from) = (Point::of(&location), Point::of(&client));
            let key = point.cell();
            let distance = client.distance_km(&location);

            let mut cell = Cell::ALL;
            for depth in 0..KEY_DIGITS {
                cell = cell.part((key >> (3 * (KEY_DIGITS - 1 - depth)) & 7).try_into().unwrap());
                prop_assert!(point.squared_chord_to_cell(&cell) < 1e-30);
                prop_assert!(cell.least_km_from(&from).is_none_or(|bound| bound <= distance));
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
