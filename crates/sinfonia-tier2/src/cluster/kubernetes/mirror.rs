//! What a watch has told of all objects of a kind.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// A change, of which only a name and what somebody needs of the object are kept.
pub(crate) type Change<T> = Result<Event<(String, T)>, Error>;

/// Watches objects for ever, after a failure again with growing pauses, and keeps of each what `digest` takes of it.
pub(crate) fn watch<K, T>(
    api: Api<K>,
    config: Config,
    digest: fn(&K) -> T,
) -> BoxStream<'static, Change<T>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + 'static,
{
    watch_named(api, config, K::name_any, digest)
}

/// Watches as [`watch`] does, under names of one's own: objects of several Namespaces may have the same one.
pub(crate) fn watch_named<K, T>(
    api: Api<K>,
    config: Config,
    name: fn(&K) -> String,
    digest: fn(&K) -> T,
) -> BoxStream<'static, Change<T>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + 'static,
{
    watcher(api, config)
        .default_backoff()
        .map(move |event| event.map(|event| shrink(&event, name, digest)))
        .boxed()
}

/// What is there, by name, and whether the watch works.
#[derive(Debug)]
pub(crate) struct Mirror<T> {
    /// `None` before the first list is complete.
    known: Option<BTreeMap<String, T>>,
    /// A list as far as it has come. What is not in it is gone once it is complete; until then the old one is the best that is known.
    listing: BTreeMap<String, T>,
    /// What the watch said last, if it failed.
    failure: Option<Error>,
}

/// Whether a watch has begun to fail, or to work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Neither.
    None,
    /// It fails, and did not before.
    Fails,
    /// It works again.
    Recovers,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self {
            known: None,
            listing: BTreeMap::new(),
            failure: None,
        }
    }
}

impl<T> Mirror<T> {
    /// What is there; `None` before the first list is complete.
    pub(crate) fn known(&self) -> Option<&BTreeMap<String, T>> {
        self.known.as_ref()
    }

    /// Why the watch does not work, if so.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Takes a change in.
    pub(crate) fn take(&mut self, change: Change<T>) -> Turn {
        let event = match change {
            Ok(event) => event,
            Err(error) => {
                let failed = self.failure.replace(error).is_some();
                return if failed { Turn::None } else { Turn::Fails };
            }
        };
        // That a list begins does not say yet that it succeeds.
        let recovers = !matches!(event, Event::Init) && self.failure.take().is_some();
        self.keep(event);
        if recovers { Turn::Recovers } else { Turn::None }
    }

    fn keep(&mut self, event: Event<(String, T)>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply((name, object)) => {
                self.listing.insert(name, object);
            }
            Event::InitDone => self.known = Some(std::mem::take(&mut self.listing)),
            Event::Apply((name, object)) => {
                self.known.get_or_insert_default().insert(name, object);
            }
            Event::Delete((name, _)) => {
                self.known.get_or_insert_default().remove(&name);
            }
        }
    }
}

fn shrink<K, T>(
    event: &Event<K>,
    name: fn(&K) -> String,
    digest: fn(&K) -> T,
) -> Event<(String, T)> {
    let named = |object: &K| (name(object), digest(object));
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(named(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(named(object)),
        Event::Delete(object) => Event::Delete(named(object)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_list_is_complete() {
        let mut mirror = Mirror::default();

        mirror.keep(Event::Init);
        mirror.keep(apply_in_list("a", 1));
        assert_eq!(mirror.known(), None);

        mirror.keep(Event::InitDone);
        assert_eq!(mirror.known(), Some(&objects([("a", 1)])));
    }

    #[test]
    fn changes_after_the_list_are_taken_in() {
        let mut mirror = listed([("a", 1), ("b", 1)]);

        mirror.keep(Event::Apply(("a".to_owned(), 2)));
        mirror.keep(Event::Delete(("b".to_owned(), 1)));
        mirror.keep(Event::Apply(("c".to_owned(), 1)));

        assert_eq!(mirror.known(), Some(&objects([("a", 2), ("c", 1)])));
    }

    #[test]
    fn what_a_new_list_lacks_is_gone_only_once_that_is_complete() {
        let mut mirror = listed([("a", 1), ("b", 1)]);

        mirror.keep(Event::Init);
        mirror.keep(apply_in_list("a", 2));
        assert_eq!(mirror.known(), Some(&objects([("a", 1), ("b", 1)])));

        mirror.keep(Event::InitDone);
        assert_eq!(mirror.known(), Some(&objects([("a", 2)])));
    }

    #[test]
    fn a_list_that_broke_off_is_forgotten_by_the_next() {
        let mut mirror = listed([]);

        for event in [
            Event::Init,
            apply_in_list("a", 1),
            Event::Init,
            apply_in_list("b", 1),
            Event::InitDone,
        ] {
            mirror.keep(event);
        }

        assert_eq!(mirror.known(), Some(&objects([("b", 1)])));
    }

    #[test]
    fn an_outage_begins_and_ends_once() {
        let mut mirror = listed([("a", 1)]);

        let turns = [
            mirror.take(Err(Error::NoResourceVersion)),
            mirror.take(Ok(Event::Init)),
            mirror.take(Err(Error::NoResourceVersion)),
            mirror.take(Ok(Event::Init)),
            mirror.take(Ok(apply_in_list("a", 2))),
            mirror.take(Ok(Event::InitDone)),
        ];

        let expected = [
            Turn::Fails,
            Turn::None,
            Turn::None,
            Turn::None,
            Turn::Recovers,
            Turn::None,
        ];
        assert_eq!(turns, expected);
        assert_eq!(mirror.known(), Some(&objects([("a", 2)])));
    }

    fn apply_in_list(name: &str, object: u8) -> Event<(String, u8)> {
        Event::InitApply((name.to_owned(), object))
    }

    fn listed<const N: usize>(list: [(&str, u8); N]) -> Mirror<u8> {
        Mirror {
            known: Some(objects(list)),
            ..Mirror::default()
        }
    }

    fn objects<const N: usize>(list: [(&str, u8); N]) -> BTreeMap<String, u8> {
        list.map(|(name, object)| (name.to_owned(), object)).into()
    }
}
