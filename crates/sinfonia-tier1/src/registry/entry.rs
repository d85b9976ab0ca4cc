//! A cloudlet's place in the registry, which its reports do not move.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sinfonia_core::cloudlet::Placement;
use sinfonia_core::fleet::Member;
use uuid::Uuid;

use super::known::Known;

/// A cloudlet of the registry. Clones are the same one: what it reports is seen through all of them.
#[derive(Debug, Clone)]
pub struct Entry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uuid: Uuid,
    placement: Arc<Placement>,
    /// Changes with each report; uuid and placement are always those above.
    known: ArcSwap<Known>,
}

impl Entry {
    pub(super) fn new(known: Known) -> Self {
        Self(Arc::new(Inner {
            uuid: known.cloudlet.uuid,
            placement: Arc::clone(&known.cloudlet.placement),
            known: ArcSwap::from_pointee(known),
        }))
    }

    /// Takes over what is known now, or gives it back when it is of another identity or placement.
    pub(super) fn take(&self, mut known: Known) -> Option<Known> {
        if known.cloudlet.uuid != self.0.uuid || known.cloudlet.placement != self.0.placement {
            return Some(known);
        }
        known.cloudlet.placement = Arc::clone(&self.0.placement);
        self.0.known.store(Arc::new(known));
        None
    }
}

impl Member for Entry {
    type Now = Arc<Known>;

    fn uuid(&self) -> Uuid {
        self.0.uuid
    }

    fn placement(&self) -> &Placement {
        &self.0.placement
    }

    fn now(&self) -> Arc<Known> {
        self.0.known.load_full()
    }
}
