//! What was seen to happen in a Namespace: its Events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// Longest message that is kept, in characters; registries answer with whole pages.
const LONGEST: usize = 1000;

/// What happened to an object, once or again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// The object's.
    pub(super) uid: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// The part of the object, such as `spec.containers{web}`.
    part: String,
    pub(super) reason: String,
    pub(super) message: String,
    count: i64,
    last: Option<Timestamp>,
}

/// All that is known to have happened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occurrences<'a>(Option<&'a BTreeMap<String, Occurrence>>);

impl Occurrence {
    /// What is kept of an Event.
    pub(super) fn of(event: &Event) -> Self {
        let object = &event.involved_object;
        let series = event.series.as_ref();
        let first = event.first_timestamp.as_ref().map(|time| time.0);
        let times = [
            event.last_timestamp.as_ref().map(|time| time.0),
            series.and_then(|series| Some(series.last_observed_time.as_ref()?.0)),
            event.event_time.as_ref().map(|time| time.0),
            first,
        ];
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let message = event.message.as_deref().unwrap_or_default();
        Self {
            uid: text(&object.uid),
            kind: text(&object.kind),
            name: text(&object.name),
            part: text(&object.field_path),
            reason: text(&event.reason),
            message: message.chars().take(LONGEST).collect(),
            count: i64::from(
                event
                    .count
                    .or(series.and_then(|series| series.count))
                    .unwrap_or(1),
            ),
            last: times.into_iter().flatten().max(),
        }
    }

    fn is_about(&self, container: &str) -> bool {
        let part = self.part.strip_suffix('}');
        part.and_then(|part| part.rsplit_once('{'))
            .is_some_and(|(_, name)| name == container)
    }
}

impl<'a> Occurrences<'a> {
    /// These, by the names of their Events; none where they are not known.
    pub(super) const fn new(known: Option<&'a BTreeMap<String, Occurrence>>) -> Self {
        Self(known)
    }

    /// All that happened for one of these reasons.
    pub(super) fn for_reasons(self, reasons: &'a [&str]) -> impl Iterator<Item = &'a Occurrence> {
        let all = self.0.into_iter().flat_map(BTreeMap::values);
        all.filter(|occurrence| reasons.contains(&occurrence.reason.as_str()))
    }

    /// What happened last to an object, of what has one of these reasons.
    pub(super) fn last_of(self, uid: &str, reasons: &'a [&str]) -> Option<&'a Occurrence> {
        let all = self.for_reasons(reasons);
        all.filter(|occurrence| occurrence.uid == uid)
            .max_by_key(|occurrence| occurrence.last)
    }

    /// What happened last to a container of a Pod, of what has one of these reasons and of several at once the one that is named last.
    pub(super) fn last_of_container(
        self,
        uid: &str,
        container: &str,
        reasons: &'a [&str],
    ) -> Option<&'a Occurrence> {
        let place =
            |occurrence: &Occurrence| reasons.iter().position(|of| *of == occurrence.reason);
        self.of_container(uid, container, reasons)
            .max_by_key(|occurrence| (occurrence.last, place(occurrence)))
    }

    /// How often something failed for a container of a Pod, whose messages begin so.
    pub(super) fn failures(self, uid: &str, container: &str, beginning: &str) -> i64 {
        self.of_container(uid, container, &["Failed"])
            .filter(|occurrence| occurrence.message.starts_with(beginning))
            .map(|occurrence| occurrence.count)
            .sum()
    }

    fn of_container(
        self,
        uid: &str,
        container: &str,
        reasons: &'a [&str],
    ) -> impl Iterator<Item = &'a Occurrence> {
        self.for_reasons(reasons)
            .filter(move |occurrence| occurrence.uid == uid && occurrence.is_about(container))
    }
}
