//! Which of several replicas works on deployments: the one that holds a Lease object.
//!
//! The rules are those of Kubernetes' own components. Nobody compares clocks of two machines: a candidate takes the Lease over when it has
//! not seen it change for as long as it lasts, by its own clock. The holder stops to lead when it could not renew for two thirds of that
//! time, so it has stopped before anybody else begins. Every write is conditional on the version that was read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use sinfonia_service::reload::causes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Name of the Lease.
pub(super) const NAME: &str = "sinfonia-tier2";
/// Parts of the Lease's time between two tries.
const TRIES: u32 = 6;

/// A candidate for the leadership of one Namespace's Tier 2.
pub(super) struct Candidate {
    api: Api<Lease>,
    identity: String,
    lasts: Duration,
    /// The Lease as it was when it last changed, and when that was seen.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What a candidate does with the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// Renews it.
    Renew,
    /// Takes it: it is free, or its holder has fallen silent.
    Take,
    /// Leaves it to its holder.
    Wait,
}

impl Candidate {
    /// A candidate with a name of its own.
    pub(super) fn new(client: Client, namespace: &str, identity: String, lasts: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            lasts,
            seen: None,
        }
    }

    /// Tries to lead, for ever, and tells whether it does.
    pub(super) async fn run(&mut self, leading: &watch::Sender<bool>) {
        let pause = self.lasts / TRIES;
        let patience = self.lasts * 2 / 3;
        // Until when this candidate leads although it hears nothing more.
        let mut leads_until = None;
        loop {
            let begun = Instant::now();
            // A try that hangs must not outlast the right to lead.
            let deadline = leads_until.unwrap_or(begun + patience);
            let tried = timeout_at(deadline, self.try_once()).await;
            match tried {
                Ok(Ok(true)) => leads_until = Some(begun + patience),
                Ok(Ok(false)) => leads_until = None,
                Ok(Err(error)) => {
                    tracing::info!(%error, cause = causes(&error), "the lease cannot be read or written");
                }
                Err(_) => tracing::info!("the API server does not answer about the lease"),
            }
            leads_until = leads_until.filter(|until| *until > Instant::now());
            let leads = leads_until.is_some();
            if leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads) {
                tracing::info!(leads, identity = self.identity, "leadership changed");
            }
            let next = Instant::now() + pause;
            sleep_until(leads_until.map_or(next, |until| until.min(next))).await;
        }
    }

    /// Frees the Lease, if this candidate holds it, so that another one need not wait.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(super) async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            return Ok(());
        };
        let Some(spec) = lease.spec.as_mut().filter(|spec| self.holds(spec)) else {
            return Ok(());
        };
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.api
            .replace(NAME, &PostParams::default(), &lease)
            .await?;
        Ok(())
    }

    /// Whether it leads after one try.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = Instant::now();
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            return self.create().await;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != spec) {
            self.seen = Some((spec.clone(), now));
        }
        let silent_for = self
            .seen
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        let next = match next_move(&spec, &self.identity, silent_for) {
            Move::Wait => return Ok(false),
            Move::Renew => LeaseSpec {
                renew_time: Some(MicroTime(Timestamp::now())),
                ..spec
            },
            Move::Take => LeaseSpec {
                lease_transitions: Some(spec.lease_transitions.unwrap_or_default() + 1),
                ..self.taken()
            },
        };
        lease.spec = Some(next);
        unless_conflict(self.api.replace(NAME, &PostParams::default(), &lease).await)
    }

    async fn create(&self) -> Result<bool, kube::Error> {
        let mut lease = Lease {
            spec: Some(self.taken()),
            ..Lease::default()
        };
        lease.metadata.name = Some(NAME.to_owned());
        unless_conflict(self.api.create(&PostParams::default(), &lease).await)
    }

    fn taken(&self) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lasts.as_secs().max(1)).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    fn holds(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_deref() == Some(&self.identity)
    }
}

/// What to do with a Lease that has not changed for this long.
fn next_move(spec: &LeaseSpec, identity: &str, silent_for: Duration) -> Move {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
    if holder == identity {
        Move::Renew
    } else if holder.is_empty() || silent_for >= Duration::from_secs(lasts) {
        Move::Take
    } else {
        Move::Wait
    }
}

/// Whether a write went through; a conflict is that somebody else was quicker.
fn unless_conflict(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::its_own(Some("me"), 0, Move::Renew)]
    #[case::its_own_after_a_pause(Some("me"), 100, Move::Renew)]
    #[case::free(None, 0, Move::Take)]
    #[case::released(Some(""), 0, Move::Take)]
    #[case::held(Some("other"), 14, Move::Wait)]
    #[case::holder_silent(Some("other"), 15, Move::Take)]
    fn a_lease_is_taken_only_from_those_who_fell_silent(
        #[case] holder: Option<&str>,
        #[case] silent_for: u64,
        #[case] expected: Move,
    ) {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };

        let chosen = next_move(&spec, "me", Duration::from_secs(silent_for));

        assert_eq!(chosen, expected);
    }
}
