//! The records of all deployments, kept in memory: the only truth about them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Record, RecordSpec, RecordStatus};
use tokio::sync::{mpsc, watch};

/// A record as somebody has seen it. What they decide from it is written only if it is still so.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    record: Arc<Record>,
    version: u64,
}

/// Somebody else wrote the record since it was seen; the decision has to be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record was changed by somebody else")]
pub(crate) struct Stale;

/// The records, by key.
#[derive(Debug)]
pub(crate) struct Records {
    records: RwLock<HashMap<PublicKey, watch::Sender<Seen>>>,
    versions: AtomicU64,
    created: mpsc::UnboundedSender<PublicKey>,
}

impl Seen {
    /// The record.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

impl Records {
    /// No records, and where the key of each new one will be told.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<PublicKey>) {
        let (created, creations) = mpsc::unbounded_channel();
        let records = Self {
            records: RwLock::default(),
            versions: AtomicU64::default(),
            created,
        };
        (records, creations)
    }

    /// The record of a key.
    pub(crate) fn get(&self, key: &PublicKey) -> Option<Seen> {
        self.read(|records| Some(records.get(key)?.borrow().clone()))
    }

    /// Follows the record of a key until it is removed, which closes the channel.
    pub(crate) fn follow(&self, key: &PublicKey) -> Option<watch::Receiver<Seen>> {
        self.read(|records| Some(records.get(key)?.subscribe()))
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.read(|records| {
            records
                .values()
                .map(|record| record.borrow().clone())
                .collect()
        })
    }

    /// Creates a record.
    ///
    /// # Errors
    /// The key has one.
    pub(crate) fn create(&self, spec: RecordSpec) -> Result<(), Stale> {
        let key = spec.public_key;
        let seen = self.version(Record::new(spec));
        self.write(|records| {
            if records.contains_key(&key) {
                return Err(Stale);
            }
            records.insert(key, watch::Sender::new(seen));
            Ok(())
        })?;
        // Nobody listens any more when the service ends.
        let _ = self.created.send(key);
        Ok(())
    }

    /// Writes what is asked for.
    ///
    /// # Errors
    /// The record was changed since it was seen.
    pub(crate) fn write_spec(&self, seen: &Seen, spec: RecordSpec) -> Result<(), Stale> {
        self.replace(
            seen,
            Record {
                spec,
                ..seen.record().clone()
            },
        )
    }

    /// Writes how far it is.
    ///
    /// # Errors
    /// The record was changed since it was seen.
    pub(crate) fn write_status(&self, seen: &Seen, status: RecordStatus) -> Result<(), Stale> {
        self.replace(
            seen,
            Record {
                status: Some(status),
                ..seen.record().clone()
            },
        )
    }

    /// Has the record removed once everything it holds is reclaimed.
    ///
    /// # Errors
    /// The record was changed since it was seen.
    pub(crate) fn delete(&self, seen: &Seen) -> Result<(), Stale> {
        if seen.record().deleting {
            return Ok(());
        }
        self.replace(
            seen,
            Record {
                deleting: true,
                ..seen.record().clone()
            },
        )
    }

    /// Removes a record that holds nothing any more.
    ///
    /// # Errors
    /// The record was changed since it was seen.
    pub(crate) fn remove(&self, seen: &Seen) -> Result<(), Stale> {
        let key = seen.record().spec.public_key;
        self.write(|records| {
            let current = records
                .get(&key)
                .is_some_and(|record| record.borrow().version == seen.version);
            if !current {
                return Err(Stale);
            }
            records.remove(&key);
            Ok(())
        })
    }

    fn replace(&self, seen: &Seen, record: Record) -> Result<(), Stale> {
        let next = self.version(record);
        self.read(|records| {
            let current = records.get(&seen.record().spec.public_key).ok_or(Stale)?;
            let written = current.send_if_modified(|current| {
                let fresh = current.version == seen.version;
                if fresh {
                    *current = next;
                }
                fresh
            });
            if written { Ok(()) } else { Err(Stale) }
        })
    }

    fn version(&self, record: Record) -> Seen {
        Seen {
            record: Arc::new(record),
            version: self.versions.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn read<T>(&self, ask: impl FnOnce(&HashMap<PublicKey, watch::Sender<Seen>>) -> T) -> T {
        ask(&self.records.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut HashMap<PublicKey, watch::Sender<Seen>>) -> T,
    ) -> T {
        change(&mut self.records.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use sinfonia_core::lifecycle::{DeployDecision, Policy, Request, deploy};
    use uuid::Uuid;

    use super::*;

    const KEY: PublicKey = PublicKey::from_bytes([1; 32]);

    #[test]
    fn a_key_has_one_record_and_its_creation_is_told_once() {
        let (records, mut creations) = Records::new();

        assert_eq!(records.create(spec("first")), Ok(()));
        assert_eq!(records.create(spec("second")), Err(Stale));

        assert_eq!(created_by(&records), Some("first".to_owned()));
        assert_eq!(creations.try_recv(), Ok(KEY));
        assert!(creations.try_recv().is_err());
    }

    #[test]
    fn what_was_decided_from_an_older_record_is_not_written() {
        let (records, _creations) = Records::new();
        records.create(spec("first")).unwrap();
        let seen = records.get(&KEY).unwrap();
        records.write_spec(&seen, spec("second")).unwrap();

        assert_eq!(records.write_spec(&seen, spec("third")), Err(Stale));
        assert_eq!(records.delete(&seen), Err(Stale));
        assert_eq!(records.remove(&seen), Err(Stale));
        assert_eq!(created_by(&records), Some("second".to_owned()));
    }

    #[test]
    fn a_removed_record_closes_its_channel_and_is_not_mistaken_for_its_successor() {
        let (records, _creations) = Records::new();
        records.create(spec("first")).unwrap();
        let seen = records.get(&KEY).unwrap();
        let changes = records.follow(&KEY).unwrap();

        records.remove(&seen).unwrap();
        records.create(spec("first")).unwrap();

        assert!(changes.has_changed().is_err());
        assert_eq!(records.remove(&seen), Err(Stale));
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
