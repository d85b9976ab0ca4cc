//! What a cloudlet measured, kept small: those of a million cloudlets are in memory at once.

use std::sync::Arc;

use super::{Measurement, Resources};

/// The names of measurements, ascending.
pub type ResourceNames = Arc<[Box<str>]>;

/// Measurements by name. Clones share them, and the names may be shared with cloudlets that measure the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurements {
    names: ResourceNames,
    values: Arc<[Measurement]>,
}

impl Measurements {
    /// The measurement of this name.
    pub fn get(&self, name: &str) -> Option<&Measurement> {
        let place = self
            .names
            .binary_search_by(|other| (**other).cmp(name))
            .ok()?;
        self.values.get(place)
    }

    /// All, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Measurement)> {
        let names = self.names.iter().map(|name| &**name);
        names.zip(self.values.iter().copied())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The names, to be looked for among those of other cloudlets.
    pub const fn names(&self) -> &ResourceNames {
        &self.names
    }

    /// Takes equal names of another cloudlet in place of its own, so that they are in memory once; others are passed over.
    pub fn share_names(&mut self, names: &ResourceNames) {
        if self.names == *names {
            self.names = Arc::clone(names);
        }
    }
}

impl From<Resources> for Measurements {
    fn from(resources: Resources) -> Self {
        let values = resources.values().copied().collect();
        let names = resources.into_keys().map(String::into_boxed_str).collect();
        Self { names, values }
    }
}

impl FromIterator<(String, Measurement)> for Measurements {
    fn from_iter<I: IntoIterator<Item = (String, Measurement)>>(measured: I) -> Self {
        Resources::from_iter(measured).into()
    }
}

impl From<&Measurements> for Resources {
    fn from(measurements: &Measurements) -> Self {
        let owned = |(name, value): (&str, _)| (name.to_owned(), value);
        measurements.iter().map(owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn measurements_are_the_resources_that_they_were_made_of(
            values in prop::collection::btree_map("[a-e]{1,2}", -1e9..1e9, 0..6),
            other in "[a-e]{1,2}",
        ) {
            let measured = |value| Measurement::try_from(value).unwrap();
            let resources: Resources = values.into_iter().map(|(name, value)| (name, measured(value))).collect();

            let measurements = Measurements::from(resources.clone());

            prop_assert_eq!(measurements.get(&other), resources.get(&other));
            for (name, value) in &resources {
                prop_assert_eq!(measurements.get(name), Some(value));
            }
            prop_assert_eq!(Resources::from(&measurements), resources);
        }
    }

    #[test]
    fn only_equal_names_are_shared() {
        let of = |name: &str| {
            let value = Measurement::try_from(0.5).unwrap();
            Measurements::from(Resources::from([(name.to_owned(), value)]))
        };
        let (mut one, mut other, same) = (of("cpu_ratio"), of("mem_ratio"), of("cpu_ratio"));

        one.share_names(same.names());
        other.share_names(same.names());

        assert!(Arc::ptr_eq(one.names(), same.names()));
        assert_eq!(other, of("mem_ratio"));
    }
}
