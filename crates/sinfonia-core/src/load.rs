//! How busy a cloudlet is.

/// Seconds after which a measurement is no longer believed: three intervals of reports.
pub const MEASUREMENT_LIFE_S: f64 = 45.0;
