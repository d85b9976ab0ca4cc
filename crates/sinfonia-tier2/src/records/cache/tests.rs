//! The law of the cache: whatever comes late or twice, in the end it is what the API server holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use sinfonia_core::lifecycle::{Record, RecordSpec};
use uuid::Uuid;

use super::*;

const KEYS: u8 = 3;

/// What happened at the API server: each is one version, beginning with 1.
#[derive(Debug, Clone, Copy)]
enum Event {
    Written(u8),
    Gone(u8),
}

/// How the cache learns of it. The numbers choose among what is possible then.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// The watch tells the next event.
    Watch,
    /// The watch begins anew, with a list of what there is.
    Relist(usize),
    /// Somebody else has listed everything, some time ago.
    List(usize),
    /// A write is answered, some time after it was done.
    Answer(usize),
    /// A look at a key that has no record is answered.
    NotFound(usize, u8),
}

#[test]
fn an_answer_that_comes_after_the_records_end_does_not_bring_it_back() {
    let cache = Cache::default();
    cache.hear(seen(1, 1));
    cache.hear_gone(&key(1), 3);

    cache.learn(seen(1, 2));

    assert!(cache.get(&key(1)).is_none());
}

#[test]
fn an_answer_of_before_a_list_does_not_bring_back_what_the_list_lacks() {
    let cache = Cache::default();
    cache.reset(vec![], 2);

    cache.learn(seen(1, 1));

    assert!(cache.get(&key(1)).is_none());
}

#[test]
fn a_list_of_before_a_write_does_not_undo_it() {
    let cache = Cache::default();
    cache.learn(seen(1, 2));

    cache.reset(vec![seen(2, 1)], 1);

    assert_eq!(versions(&cache), BTreeMap::from([(key(1), 2), (key(2), 1)]));
}

#[test]
fn a_newer_record_of_the_same_key_outlives_the_end_of_the_older() {
    let cache = Cache::default();
    cache.hear(seen(1, 1));
    cache.learn(seen(1, 3));

    cache.hear_gone(&key(1), 2);

    assert_eq!(versions(&cache), BTreeMap::from([(key(1), 3)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn in_the_end_the_cache_holds_what_there_is(
        history in history(),
        words in prop::collection::vec(word(), 0..40),
    ) {
        let cache = Cache::default();
        let mut heard = 0;
        for word in words {
            heard = say(&cache, &history, heard, word);
        }
        while heard < history.len() {
            heard = say(&cache, &history, heard, Word::Watch);
        }

        prop_assert_eq!(versions(&cache), state(&history, history.len()));
    }
}

/// Lets the cache learn something, and gives up to which version the watch has told.
fn say(cache: &Cache, history: &[Event], heard: usize, word: Word) -> usize {
    match word {
        Word::Watch => {
            let Some(event) = history.get(heard) else {
                return heard;
            };
            let version = heard as u64 + 1;
            match *event {
                Event::Written(number) => cache.hear(seen(number, version)),
                Event::Gone(number) => cache.hear_gone(&key(number), version),
            }
            return heard + 1;
        }
        Word::Relist(choice) => {
            let at = heard + choice % (history.len() - heard + 1);
            // What the watch goes on from is never newer than the list that is taken over.
            cache.reset(list(history, at), at as u64);
            return at;
        }
        Word::List(choice) => {
            let at = choice % (history.len() + 1);
            cache.reset(list(history, at), at as u64);
        }
        Word::Answer(choice) => {
            let at = choice % history.len();
            if let Event::Written(number) = history[at] {
                cache.learn(seen(number, at as u64 + 1));
            }
        }
        Word::NotFound(choice, number) => {
            let at = choice % (history.len() + 1);
            if !state(history, at).contains_key(&key(number)) {
                cache.learn_gone(&key(number), at as u64);
            }
        }
    }
    heard
}

/// The version of each record that there is after so many events.
fn state(history: &[Event], at: usize) -> BTreeMap<PublicKey, u64> {
    let mut state = BTreeMap::new();
    for (version, event) in (1..).zip(&history[..at]) {
        match *event {
            Event::Written(number) => state.insert(key(number), version),
            Event::Gone(number) => state.remove(&key(number)),
        };
    }
    state
}

fn list(history: &[Event], at: usize) -> Vec<Seen> {
    let there = state(history, at);
    (0..KEYS)
        .filter_map(|number| Some(seen(number, *there.get(&key(number))?)))
        .collect()
}

fn versions(cache: &Cache) -> BTreeMap<PublicKey, u64> {
    let all = cache.all();
    all.iter()
        .map(|seen| (seen.record().spec.public_key, seen.version))
        .collect()
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..KEYS, prop::bool::weighted(0.4));
    prop::collection::vec(event, 1..16).prop_map(|events| {
        let mut there = [false; KEYS as usize];
        let events = events.into_iter().map(|(number, gone)| {
            let exists = &mut there[usize::from(number)];
            *exists = !(gone && *exists);
            if *exists {
                Event::Written(number)
            } else {
                Event::Gone(number)
            }
        });
        events.collect()
    })
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        4 => Just(Word::Watch),
        1 => any::<usize>().prop_map(Word::Relist),
        1 => any::<usize>().prop_map(Word::List),
        3 => any::<usize>().prop_map(Word::Answer),
        2 => (any::<usize>(), 0..KEYS).prop_map(|(at, number)| Word::NotFound(at, number)),
    ]
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn seen(number: u8, version: u64) -> Seen {
    let record = Record::new(RecordSpec {
        uuid: Uuid::nil(),
        public_key: key(number),
        client_address: [192, 0, 2, 7].into(),
        created: Timestamp::UNIX_EPOCH,
        created_by: "first".to_owned(),
        renewed: Timestamp::UNIX_EPOCH,
        renewed_by: "first".to_owned(),
        renewals: version,
    });
    Seen {
        record: Arc::new(record),
        version,
        kept: true,
    }
}
