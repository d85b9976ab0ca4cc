//! Records in memory, each followed by whoever wants to.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};

use sinfonia_core::key::PublicKey;
use tokio::sync::{mpsc, watch};

use super::{Seen, WriteError};

/// The records that are known. Where they are a copy of others, versions tell which copy is newer.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    records: RwLock<Known>,
    newcomers: Mutex<Option<mpsc::UnboundedSender<PublicKey>>>,
}

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<PublicKey, watch::Sender<Seen>>,
    /// The newest version that was heard of in order. A record that is not known and no newer than this is gone.
    heard: u64,
}

impl Cache {
    pub(super) fn get(&self, key: &PublicKey) -> Option<Seen> {
        self.read(|known| Some(known.by_key.get(key)?.borrow().clone()))
    }

    pub(super) fn follow(&self, key: &PublicKey) -> Option<watch::Receiver<Seen>> {
        self.read(|known| Some(known.by_key.get(key)?.subscribe()))
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.read(|known| {
            let records = known.by_key.values();
            records.map(|record| record.borrow().clone()).collect()
        })
    }

    pub(super) fn keys(&self) -> mpsc::UnboundedReceiver<PublicKey> {
        let (sender, keys) = mpsc::unbounded_channel();
        self.write(|known| {
            for key in known.by_key.keys() {
                // The other end is below.
                let _ = sender.send(*key);
            }
            *self.newcomers() = Some(sender);
        });
        keys
    }

    /// Adds a record.
    pub(super) fn insert(&self, seen: Seen) -> Result<(), WriteError> {
        self.write(|known| {
            if known.by_key.contains_key(&seen.record().spec.public_key) {
                return Err(WriteError::Stale);
            }
            self.add(known, seen);
            Ok(())
        })
    }

    /// Replaces a record that nobody has replaced since.
    pub(super) fn replace(&self, seen: &Seen, next: Seen) -> Result<(), WriteError> {
        self.read(|known| {
            let current = known.by_key.get(&seen.record().spec.public_key);
            let written = current.is_some_and(|current| {
                current.send_if_modified(|current| {
                    let fresh = current.version == seen.version;
                    if fresh {
                        *current = next;
                    }
                    fresh
                })
            });
            if written {
                Ok(())
            } else {
                Err(WriteError::Stale)
            }
        })
    }

    /// Removes a record that nobody has replaced since.
    pub(super) fn remove(&self, seen: &Seen) -> Result<(), WriteError> {
        let key = &seen.record().spec.public_key;
        self.write(|known| {
            let current = known.by_key.get(key);
            if current.is_none_or(|current| current.borrow().version != seen.version) {
                return Err(WriteError::Stale);
            }
            known.by_key.remove(key);
            Ok(())
        })
    }

    /// Takes over what a write or a look at one record has answered, unless something newer is known.
    pub(super) fn learn(&self, seen: Seen) {
        self.write(|known| self.take(known, seen));
    }

    /// Takes over the next of all changes, in their order.
    pub(super) fn hear(&self, seen: Seen) {
        self.write(|known| {
            let version = seen.version;
            self.take(known, seen);
            known.heard = known.heard.max(version);
        });
    }

    /// Takes over that a record was gone at this version.
    pub(super) fn hear_gone(&self, key: &PublicKey, version: u64) {
        self.write(|known| {
            forget(known, key, version);
            known.heard = known.heard.max(version);
        });
    }

    /// Takes over that there was no record of a key when it was looked at, which was after this version.
    pub(super) fn learn_gone(&self, key: &PublicKey, version: u64) {
        self.write(|known| forget(known, key, version));
    }

    /// Takes over all records that there were at this version. What is known in a newer version stays.
    pub(super) fn reset(&self, all: Vec<Seen>, version: u64) {
        self.write(|known| {
            let keys: HashSet<PublicKey> = all
                .iter()
                .map(|seen| seen.record().spec.public_key)
                .collect();
            known
                .by_key
                .retain(|key, current| current.borrow().version > version || keys.contains(key));
            let newest = version >= known.heard;
            for seen in all {
                let is_known = known.by_key.contains_key(&seen.record().spec.public_key);
                if newest && !is_known {
                    self.add(known, seen);
                } else {
                    self.take(known, seen);
                }
            }
            known.heard = known.heard.max(version);
        });
    }

    fn take(&self, known: &mut Known, seen: Seen) {
        match known.by_key.get(&seen.record().spec.public_key) {
            Some(current) => {
                current.send_if_modified(|current| {
                    let newer = seen.version > current.version;
                    if newer {
                        *current = seen;
                    }
                    newer
                });
            }
            None if seen.version > known.heard => self.add(known, seen),
            None => {}
        }
    }

    fn add(&self, known: &mut Known, seen: Seen) {
        let key = seen.record().spec.public_key;
        known.by_key.insert(key, watch::Sender::new(seen));
        if let Some(newcomers) = &*self.newcomers() {
            // Nobody listens any more when the controller has ended.
            let _ = newcomers.send(key);
        }
    }

    fn newcomers(&self) -> std::sync::MutexGuard<'_, Option<mpsc::UnboundedSender<PublicKey>>> {
        self.newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, ask: impl FnOnce(&Known) -> T) -> T {
        ask(&self.records.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.records.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn forget(known: &mut Known, key: &PublicKey, version: u64) {
    let current = known.by_key.get(key);
    if current.is_some_and(|current| current.borrow().version <= version) {
        known.by_key.remove(key);
    }
}

#[cfg(test)]
mod tests;
