//! What the page shows of the cloudlets, and since when it is so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::load::MEASUREMENT_LIFE_S;
use sinfonia_core::location::Location;
use sinfonia_core::ranking::Class;
use uuid::Uuid;

use crate::registry::Known;

/// Most cloudlets that are remembered to have gone; who has not heard of the first of them is told everything anew.
const MOST_GONE: usize = 10_000;

/// How a cloudlet is, in one word: what keeps requests from it most, else how old what is known of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It reported or was measured lately.
    Fresh,
    /// A measurement is above its threshold.
    Overloaded,
    /// Requests to it keep failing, or it asked for a pause.
    CircuitOpen,
    /// It takes no new deployments.
    Draining,
    /// What it reported last is too old to be believed.
    Silent,
    /// The file names it, and nothing was heard of it.
    NeverReported,
}

/// What changes with every report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) state: State,
    /// When it reported or was measured last.
    pub(super) at: Option<Timestamp>,
    /// The ratios of processor, memory and GPU.
    pub(super) ratios: [Option<f64>; 3],
    /// Deployments that this Tier 1 has placed there.
    pub(super) placed: u32,
}

/// What is known of all that is shown. Each change raises the version, so that those who know an older one are told the differences.
#[derive(Debug, Default)]
pub(super) struct Board {
    version: u64,
    total: usize,
    rows: HashMap<Endpoint, Row>,
    next_id: u32,
    gone: VecDeque<(u64, u32)>,
    /// The version of the last that went and was forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Row {
    id: u32,
    seen: u64,
    placed_in: u64,
    read_in: u64,
    uuid: Uuid,
    name: Box<str>,
    locations: Box<[Location]>,
    reading: Reading,
}

/// What one who knows an older version is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Update {
    /// Now, in milliseconds since 1970.
    now: i64,
    /// How many cloudlets there are; those that are shown may be fewer.
    total: usize,
    /// Whether this is everything, in place of what was told before.
    #[serde(skip_serializing_if = "is_false")]
    all: bool,
    /// Those that are new, or of another name or place than before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<KnownRow>,
    /// Those that were read anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    read: Vec<ReadRow>,
    /// Those that are there no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<u32>,
}

/// Number, uuid, name, latitudes and longitudes in turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct KnownRow(u32, Uuid, Box<str>, Vec<f64>);

/// Number, state, when it was read (seconds since 1970), ratios of processor, memory and GPU, deployments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ReadRow(
    u32,
    #[serde(serialize_with = "as_number")] State,
    Option<i64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
    u32,
);

impl Reading {
    /// Reads a cloudlet whose circuit makes it be of this class.
    pub(super) fn of(known: &Known, class: Class, now: Timestamp) -> Self {
        let cloudlet = &known.cloudlet;
        let ratio = |name: &str| cloudlet.resources.get(name).map(|ratio| ratio.value());
        Self {
            state: State::of(known, class, now),
            at: cloudlet.last_update,
            ratios: [ratio("cpu_ratio"), ratio("mem_ratio"), ratio("gpu_ratio")],
            placed: known.tally().placed().alive,
        }
    }
}

impl State {
    /// The state of a cloudlet whose circuit makes it be of this class.
    pub(super) fn of(known: &Known, class: Class, now: Timestamp) -> Self {
        if known.cloudlet.draining {
            return Self::Draining;
        }
        match (class, known.conditions(now).age_s) {
            (Class::Draining, _) => Self::Draining,
            (Class::CircuitOpen, _) => Self::CircuitOpen,
            (Class::Overloaded, _) => Self::Overloaded,
            (Class::Normal, None) => Self::NeverReported,
            (Class::Normal, Some(age_s)) if age_s > MEASUREMENT_LIFE_S => Self::Silent,
            (Class::Normal, Some(_)) => Self::Fresh,
        }
    }
}

impl Board {
    /// Takes over how all that are shown are now, of `total` cloudlets.
    pub(super) fn look(
        &mut self,
        total: usize,
        cloudlets: impl Iterator<Item = (Arc<Known>, Reading)>,
    ) {
        self.version += 1;
        self.total = total;
        for (known, reading) in cloudlets {
            self.see(&known, reading);
        }
        let version = self.version;
        let gone = &mut self.gone;
        self.rows.retain(|_, row| {
            let is_there = row.seen == version;
            if !is_there {
                gone.push_back((version, row.id));
            }
            is_there
        });
        while self.gone.len() > MOST_GONE {
            if let Some((version, _)) = self.gone.pop_front() {
                self.forgotten = version;
            }
        }
    }

    /// The version of the last look.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// What one is told who knows that version, or none; `None` where there is nothing new.
    pub(super) fn since(&self, version: Option<u64>, now: Timestamp) -> Option<Update> {
        let version = version.filter(|version| *version >= self.forgotten);
        let since = version.unwrap_or(0);
        let rows = || self.rows.values();
        let known = rows().filter(|row| row.placed_in > since).map(KnownRow::of);
        let read = rows().filter(|row| row.read_in > since).map(ReadRow::of);
        let gone = self.gone.iter().rev();
        let gone = gone.take_while(|(went, _)| version.is_some_and(|version| *went > version));
        let update = Update {
            now: now.as_millisecond(),
            total: self.total,
            all: version.is_none(),
            known: known.collect(),
            read: read.collect(),
            gone: gone.map(|(_, id)| *id).collect(),
        };
        let is_news = update.all || !update.read.is_empty() || !update.gone.is_empty();
        is_news.then_some(update)
    }

    fn see(&mut self, known: &Known, reading: Reading) {
        let (version, cloudlet) = (self.version, &known.cloudlet);
        if let Some(row) = self.rows.get_mut(&cloudlet.endpoint) {
            row.seen = version;
            if row.reading != reading {
                row.reading = reading;
                row.read_in = version;
            }
            let is_same = row.uuid == cloudlet.uuid && *row.name == *cloudlet.name;
            if is_same && *row.locations == *cloudlet.locations {
                return;
            }
        }
        let before = self.rows.remove(&cloudlet.endpoint);
        let id = before.map_or(self.next_id, |row| row.id);
        self.next_id = self.next_id.max(id.wrapping_add(1));
        let row = Row {
            id,
            seen: version,
            placed_in: version,
            read_in: version,
            uuid: cloudlet.uuid,
            name: cloudlet.name.as_str().into(),
            locations: cloudlet.locations.as_slice().into(),
            reading,
        };
        self.rows.insert(cloudlet.endpoint.clone(), row);
    }
}

impl KnownRow {
    fn of(row: &Row) -> Self {
        let places = row.locations.iter();
        let numbers = places.flat_map(|place| [place.latitude(), place.longitude()]);
        Self(
            row.id,
            row.uuid,
            row.name.clone(),
            numbers.map(|degrees| rounded(degrees, 1e4)).collect(),
        )
    }
}

impl ReadRow {
    fn of(row: &Row) -> Self {
        let Reading {
            state,
            at,
            ratios,
            placed,
        } = row.reading;
        let [cpu, mem, gpu] = ratios.map(|ratio| ratio.map(|ratio| rounded(ratio, 1e3)));
        let at = at.map(Timestamp::as_second);
        Self(row.id, state, at, cpu, mem, gpu, placed)
    }
}

/// A number without digits that nobody sees.
fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

fn as_number<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*state as u8)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
