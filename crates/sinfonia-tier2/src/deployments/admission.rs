//! Whether one deployment more can be taken.

use std::net::IpAddr;

use sinfonia_core::lifecycle::{AddressPool, Phase, Record, RecordSpec, Stage};
use sinfonia_service::limits::ClientKey;
use tokio::time::Instant;

use super::{Deployments, Refusal};
use crate::records::{Seen, unless_stale};

/// How many deployments are taken.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// At once; as many as there are addresses where nothing is said.
    pub(crate) most: Option<usize>,
    /// At once for one client.
    pub(crate) most_per_client: usize,
    /// Being installed at once, those that wait for their turn included, if that is limited.
    pub(crate) most_pending: Option<usize>,
    /// The addresses of the devices.
    pub(crate) pool: AddressPool,
}

impl Deployments {
    /// Writes a request that needs a place of its own, if there is one; false when it has to be decided anew.
    pub(super) async fn admit(
        &self,
        seen: Option<&Seen>,
        spec: RecordSpec,
    ) -> Result<bool, Refusal> {
        // One at a time, so that what is counted is still so when it is written.
        let withdrawn = self.withdrawn.lock().await;
        if withdrawn.holds(&spec.created_by, Instant::now()) {
            return Err(Refusal::Withdrawn);
        }
        self.taking_new()?;
        let all = self.records.all();
        self.admission.check_pending(&all)?;
        let others = all.iter().map(Seen::record);
        self.admission.check(
            &spec,
            others.filter(|record| record.spec.public_key != spec.public_key),
            seen.and_then(|seen| Some(seen.record().status.as_ref()?.tunnel_address)),
        )?;
        self.write(seen, spec).await
    }

    /// Whether new deployments are taken, as far as the operator is concerned.
    ///
    /// What is being brought back within its grace is not new: its device has the name and address of before, and was promised that they are
    /// kept. To drain is to let devices go, not to send them away.
    pub(super) fn taking_new(&self) -> Result<(), Refusal> {
        Refusal::of_draining(&self.cluster.draining().borrow())
    }

    /// Writes a request; false when somebody else wrote meanwhile.
    pub(super) async fn write(
        &self,
        seen: Option<&Seen>,
        spec: RecordSpec,
    ) -> Result<bool, Refusal> {
        let written = match seen {
            None => self.records.create(spec).await,
            Some(seen) => self.records.write_spec(seen, spec).await,
        };
        unless_stale(written).map_err(Refusal::unwritten)
    }
}

impl Admission {
    /// Whether the installations under way leave room for one more.
    pub(super) fn check_pending(&self, all: &[Seen]) -> Result<(), Refusal> {
        let pending = all.iter().filter(|seen| match seen.record().stage() {
            Stage::Starting => true,
            Stage::Live(status) => status.phase == Phase::Initializing,
            Stage::Leaving | Stage::Ended(_) => false,
        });
        match self.most_pending {
            Some(most) if pending.count() >= most => Err(Refusal::Busy),
            _ => Ok(()),
        }
    }

    /// Whether there is room for a request beside the other records. A record that holds an address already needs no new one.
    fn check<'a>(
        &self,
        spec: &RecordSpec,
        others: impl Iterator<Item = &'a Record> + Clone,
        own_address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        // What ended holds nothing but its address.
        let running = others
            .clone()
            .filter(|record| !matches!(record.stage(), Stage::Ended(_)));
        let client = ClientKey::of(spec.client_address);
        let of_client = running
            .clone()
            .filter(|record| ClientKey::of(record.spec.client_address) == client);
        if of_client.count() >= self.most_per_client {
            return Err(Refusal::ClientHasEnough(self.most_per_client));
        }
        if self.most.is_some_and(|most| running.count() >= most) {
            return Err(Refusal::Full);
        }
        if own_address.is_none() && !self.has_address(others) {
            return Err(Refusal::NoAddress(self.pool));
        }
        Ok(())
    }

    /// Whether an address will be left once everybody before this request has one. No two records hold the same.
    fn has_address<'a>(&self, others: impl Iterator<Item = &'a Record>) -> bool {
        let taken = others.filter(|record| match &record.status {
            Some(status) => self.pool.contains(status.tunnel_address),
            None => true,
        });
        (taken.count() as u128) < self.pool.size()
    }
}
