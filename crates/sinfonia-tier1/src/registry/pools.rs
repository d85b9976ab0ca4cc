//! Values that many cloudlets say alike, kept once.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use sinfonia_core::cloudlet::{Cloudlet, Labels, Measurements};
use sinfonia_core::network::Network;
use uuid::Uuid;

/// Values of one kind below which nobody looks for those out of use.
const FEW: usize = 64;

/// The values that are in use, and few others.
#[derive(Debug, Default)]
pub(super) struct Pools {
    resource_names: Pool<[Box<str>]>,
    labels: Pool<Labels>,
    recipes: Pool<BTreeSet<Uuid>>,
    accepted_clients: Pool<[Network]>,
}

#[derive(Debug)]
struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many there may be before those out of use go.
    room: usize,
}

impl Pools {
    /// Has a cloudlet share what others say too.
    pub(super) fn share(&mut self, cloudlet: &mut Cloudlet) {
        self.share_names(&mut cloudlet.resources);
        self.labels.share(&mut cloudlet.labels);
        if let Some(recipes) = &mut cloudlet.recipes {
            self.recipes.share(recipes);
        }
        if let Some(placement) = Arc::get_mut(&mut cloudlet.placement) {
            self.accepted_clients.share(&mut placement.accepted_clients);
        }
    }

    /// Has measurements share the names of others.
    pub(super) fn share_names(&mut self, measurements: &mut Measurements) {
        let mut names = Arc::clone(measurements.names());
        self.resource_names.share(&mut names);
        measurements.share_names(&names);
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn share(&mut self, value: &mut Arc<T>) {
        if let Some(same) = self.values.get(&**value) {
            *value = Arc::clone(same);
            return;
        }
        if self.values.len() >= self.room {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.values.shrink_to(FEW);
            self.room = FEW.max(2 * self.values.len());
        }
        self.values.insert(Arc::clone(value));
    }
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            room: FEW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_become_one() {
        let mut pool = Pool::default();
        let (mut one, mut other): (Arc<str>, Arc<str>) = ("value".into(), "value".into());

        pool.share(&mut one);
        pool.share(&mut other);

        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn values_out_of_use_go_when_there_are_many() {
        let mut pool = Pool::default();
        let mut used: Arc<str> = "used".into();
        pool.share(&mut used);

        for number in 0..100 * FEW {
            pool.share(&mut number.to_string().into());
        }

        assert!(pool.values.len() <= FEW);
        assert!(pool.values.contains(&used));
    }
}
