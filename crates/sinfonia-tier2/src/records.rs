//! The records of all deployments: the only truth about them.
//!
//! They are read from memory. Where they are written is what the two kinds differ in: a sandbox keeps them in memory alone, a Kubernetes
//! cluster keeps them as custom resources, and memory follows those.

mod cache;
pub(crate) mod kubernetes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Record, RecordSpec, RecordStatus};
use tokio::sync::{mpsc, watch};

use self::cache::Cache;
use self::kubernetes::RecordApi;
use crate::cluster::ClusterError;

/// A record as somebody has seen it. What they decide from it is written only if it is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    record: Arc<Record>,
    version: u64,
    /// Whether it stays until everything it holds is reclaimed, whoever deletes it.
    kept: bool,
}

/// Why a decision was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Somebody else wrote the record since it was seen; the decision has to be made again.
    #[error("the record was changed by somebody else")]
    Stale,
    /// The cluster does not take it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Whether something was written. Whoever was quicker made another decision necessary.
///
/// # Errors
/// The cluster does not take it.
pub(crate) fn unless_stale(written: Result<(), WriteError>) -> Result<bool, ClusterError> {
    match written {
        Ok(()) => Ok(true),
        Err(WriteError::Stale) => Ok(false),
        Err(WriteError::Cluster(error)) => Err(error),
    }
}

/// The records, by key.
pub(crate) struct Records {
    cache: Arc<Cache>,
    store: Store,
}

enum Store {
    /// In memory alone; the versions are counted.
    Memory(AtomicU64),
    /// As custom resources.
    Kubernetes(Box<RecordApi>),
}

impl Seen {
    /// The record.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

impl Records {
    /// No records, kept in memory.
    pub(crate) fn in_memory() -> Self {
        Self {
            cache: Arc::default(),
            store: Store::Memory(AtomicU64::default()),
        }
    }

    /// The custom resources that this API serves.
    pub(crate) fn in_kubernetes(api: RecordApi) -> Self {
        Self {
            cache: Arc::clone(api.cache()),
            store: Store::Kubernetes(Box::new(api)),
        }
    }

    /// Whether all records are known.
    ///
    /// # Errors
    /// They are not, for this reason.
    pub(crate) fn synchronised(&self) -> Result<(), String> {
        match &self.store {
            Store::Memory(_) => Ok(()),
            Store::Kubernetes(api) => api.synchronised().borrow().clone(),
        }
    }

    /// The record of a key.
    pub(crate) fn get(&self, key: &PublicKey) -> Option<Seen> {
        self.cache.get(key)
    }

    /// The record of a key, as it is now where memory knows none: another process may have made it a moment ago.
    ///
    /// # Errors
    /// Memory knows none and the cluster does not answer.
    pub(crate) async fn find(&self, key: &PublicKey) -> Result<Option<Seen>, ClusterError> {
        match (&self.store, self.get(key)) {
            (Store::Kubernetes(api), None) => api.find(key).await,
            (_, known) => Ok(known),
        }
    }

    /// Follows the record of a key until it is removed, which closes the channel.
    pub(crate) fn follow(&self, key: &PublicKey) -> Option<watch::Receiver<Seen>> {
        self.cache.follow(key)
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.cache.all()
    }

    /// The keys of all records, and of each that comes. Whoever asked before is told no more.
    pub(crate) fn keys(&self) -> mpsc::UnboundedReceiver<PublicKey> {
        self.cache.keys()
    }

    /// Reads all records anew, so that nothing older is known than what is true now.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(crate) async fn refresh(&self) -> Result<(), ClusterError> {
        match &self.store {
            Store::Memory(_) => Ok(()),
            Store::Kubernetes(api) => api.refresh().await,
        }
    }

    /// Creates a record.
    ///
    /// # Errors
    /// The key has one, or the cluster does not take it.
    pub(crate) async fn create(&self, spec: RecordSpec) -> Result<(), WriteError> {
        match &self.store {
            Store::Memory(versions) => self.cache.insert(next(versions, Record::new(spec))),
            Store::Kubernetes(api) => api.create(spec).await,
        }
    }

    /// Writes what is asked for.
    ///
    /// # Errors
    /// The record was changed since it was seen, or the cluster does not take it.
    pub(crate) async fn write_spec(&self, seen: &Seen, spec: RecordSpec) -> Result<(), WriteError> {
        match &self.store {
            Store::Memory(versions) => {
                let record = Record {
                    spec,
                    ..seen.record().clone()
                };
                self.cache.replace(seen, next(versions, record))
            }
            Store::Kubernetes(api) => api.write_spec(seen, &spec).await,
        }
    }

    /// Writes how far it is.
    ///
    /// # Errors
    /// The record was changed since it was seen, or the cluster does not take it.
    pub(crate) async fn write_status(
        &self,
        seen: &Seen,
        status: RecordStatus,
    ) -> Result<(), WriteError> {
        match &self.store {
            Store::Memory(versions) => {
                let record = Record {
                    status: Some(status),
                    ..seen.record().clone()
                };
                self.cache.replace(seen, next(versions, record))
            }
            Store::Kubernetes(api) => api.write_status(seen, &status).await,
        }
    }

    /// Has the record removed once everything it holds is reclaimed.
    ///
    /// # Errors
    /// The record was changed since it was seen, or the cluster does not take it.
    pub(crate) async fn delete(&self, seen: &Seen) -> Result<(), WriteError> {
        if seen.record().deleting {
            return Ok(());
        }
        match &self.store {
            Store::Memory(versions) => {
                let record = Record {
                    deleting: true,
                    ..seen.record().clone()
                };
                self.cache.replace(seen, next(versions, record))
            }
            Store::Kubernetes(api) => api.delete(seen).await,
        }
    }

    /// Removes a record that is being deleted and holds nothing any more.
    ///
    /// # Errors
    /// The record was changed since it was seen, or the cluster does not take it.
    pub(crate) async fn remove(&self, seen: &Seen) -> Result<(), WriteError> {
        match &self.store {
            Store::Memory(_) => self.cache.remove(seen),
            Store::Kubernetes(api) => api.remove(seen).await,
        }
    }
}

fn next(versions: &AtomicU64, record: Record) -> Seen {
    Seen {
        record: Arc::new(record),
        version: versions.fetch_add(1, Ordering::Relaxed),
        kept: true,
    }
}

#[cfg(test)]
mod tests {
    use sinfonia_core::lifecycle::{DeployDecision, Policy, Request, deploy};
    use uuid::Uuid;

    use super::*;

    const KEY: PublicKey = PublicKey::from_bytes([1; 32]);

    #[tokio::test]
    async fn a_key_has_one_record_and_its_creation_is_told_once() {
        let records = Records::in_memory();
        let mut keys = records.keys();

        records.create(spec("first")).await.unwrap();
        let second = records.create(spec("second")).await;
        assert!(matches!(second, Err(WriteError::Stale)));

        assert_eq!(created_by(&records), Some("first".to_owned()));
        assert_eq!(keys.try_recv(), Ok(KEY));
        assert!(keys.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_was_decided_from_an_older_record_is_not_written() {
        let records = Records::in_memory();
        records.create(spec("first")).await.unwrap();
        let seen = records.get(&KEY).unwrap();
        records.write_spec(&seen, spec("second")).await.unwrap();

        for written in [
            records.write_spec(&seen, spec("third")).await,
            records.delete(&seen).await,
            records.remove(&seen).await,
        ] {
            assert!(matches!(written, Err(WriteError::Stale)));
        }
        assert_eq!(created_by(&records), Some("second".to_owned()));
    }

    #[tokio::test]
    async fn a_removed_record_closes_its_channel_and_is_not_mistaken_for_its_successor() {
        let records = Records::in_memory();
        records.create(spec("first")).await.unwrap();
        let seen = records.get(&KEY).unwrap();
        let changes = records.follow(&KEY).unwrap();

        records.remove(&seen).await.unwrap();
        records.create(spec("first")).await.unwrap();

        assert!(changes.has_changed().is_err());
        let again = records.remove(&seen).await;
        assert!(matches!(again, Err(WriteError::Stale)));
    }

    fn created_by(records: &Records) -> Option<String> {
        Some(records.get(&KEY)?.record().spec.created_by.clone())
    }

    fn spec(id: &str) -> RecordSpec {
        let request = Request {
            uuid: Uuid::nil(),
            public_key: KEY,
            client_address: [192, 0, 2, 7].into(),
            id: id.to_owned(),
        };
        match deploy(
            None,
            &request,
            jiff::Timestamp::UNIX_EPOCH,
            &Policy::default(),
        ) {
            DeployDecision::Create(spec) => spec,
            decision => panic!("{decision:?}"),
        }
    }
}
