//! Those who look at the page, and what they are told.

mod places;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::fleet::Member;
use sinfonia_core::ranking::Class;
use sinfonia_service::shutdown::CancellationToken;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use self::places::{NoPlace, Place, Places};
use super::board::{Board, Reading, State, Update};
use crate::circuits::{self, Circuits};
use crate::registry::{Known, Registry, Roster};

/// Time between two updates that one is told at least.
const PERIOD: Duration = Duration::from_secs(1);
/// Age up to which a look at the cloudlets does for others as well: all who look take turns within a period.
const FRESH: Duration = Duration::from_millis(900);
/// Time after which one has to ask again, so that a token that was withdrawn counts no longer.
const LONGEST: Duration = Duration::from_mins(15);
/// Most cloudlets that are shown: a browser still draws and pans them, and a look takes some 10 ms.
const MOST_SHOWN: usize = 20_000;

/// Where the cloudlets are known.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) registry: Registry,
    pub(super) circuits: Circuits,
}

/// Tells of the cloudlets. Clones share the listeners.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(super) source: Source,
    /// Goes with the last listener.
    board: Arc<Mutex<Weak<Mutex<Looked>>>>,
    places: Places,
    stop: CancellationToken,
}

/// One who looks.
#[derive(Debug)]
pub(super) struct Listener {
    source: Source,
    board: Arc<Mutex<Looked>>,
    version: Option<u64>,
    ticks: Interval,
    until: Instant,
    stop: CancellationToken,
    _place: Place,
}

/// The board, and when it was looked at the cloudlets for it.
#[derive(Debug, Default)]
struct Looked {
    board: Board,
    at: Option<Instant>,
}

impl Source {
    /// How a cloudlet is at the moment, circuit included.
    pub(super) fn state(&self, known: &Known) -> State {
        let now = Timestamp::now();
        State::of(known, self.class(known, now), now)
    }

    fn reading(&self, known: &Known, now: Timestamp) -> Reading {
        Reading::of(known, self.class(known, now), now)
    }

    fn class(&self, known: &Known, now: Timestamp) -> Class {
        let own = known.conditions(now).class;
        let endpoint = &known.cloudlet.endpoint;
        self.circuits.class(own, endpoint, circuits::now())
    }
}

impl Feed {
    /// Tells of these cloudlets until `stop` is cancelled.
    pub(super) fn new(source: Source, stop: CancellationToken) -> Self {
        Self {
            source,
            board: Arc::default(),
            places: Places::default(),
            stop,
        }
    }

    /// Begins to look, for a caller at this address.
    ///
    /// # Errors
    /// Too many do already.
    pub(super) fn listen(&self, caller: IpAddr) -> Result<Listener, NoPlace> {
        let now = Instant::now();
        let until = now + LONGEST;
        let place = self.places.take(caller, now, until)?;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Listener {
            source: self.source.clone(),
            board: self.board(),
            version: None,
            ticks,
            until,
            stop: self.stop.clone(),
            _place: place,
        })
    }

    /// The board of those who look, or a new one where nobody does.
    fn board(&self) -> Arc<Mutex<Looked>> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *board = Arc::downgrade(&new);
            new
        })
    }
}

impl Listener {
    /// Waits for what is new, first for everything, and gives it as JSON; `None` when it is over.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                at = self.ticks.tick() => if at >= self.until { return None },
            }
            let (board, source) = (Arc::clone(&self.board), self.source.clone());
            let version = self.version;
            // It takes milliseconds where there are very many cloudlets, and others wait for the board meanwhile.
            let told = tokio::task::spawn_blocking(move || tell(&board, &source, version));
            let (version, update) = told.await.ok()?;
            self.version = Some(version);
            if update.is_some() {
                return update;
            }
        }
    }
}

/// Looks at the cloudlets, unless somebody just did, and gives the version of that and what is new since another one.
fn tell(board: &Mutex<Looked>, source: &Source, since: Option<u64>) -> (u64, Option<String>) {
    let now = Timestamp::now();
    let mut looked = board.lock().unwrap_or_else(PoisonError::into_inner);
    if looked.at.is_none_or(|at| at.elapsed() >= FRESH) {
        looked.look(source, now);
    }
    let update = looked.board.since(since, now);
    let version = looked.board.version();
    drop(looked);
    (version, update.as_ref().and_then(json))
}

impl Looked {
    fn look(&mut self, source: &Source, now: Timestamp) {
        let roster = source.registry.roster();
        let read = shown(&roster).into_iter().map(|known| {
            let reading = source.reading(&known, now);
            (known, reading)
        });
        self.board.look(roster.cloudlets.len(), read);
        self.at = Some(Instant::now());
    }
}

/// The cloudlets that are shown; where there are too many, those of the file first, because others cannot make an endpoint up for them.
fn shown(roster: &Roster) -> Vec<Arc<Known>> {
    let all = || roster.cloudlets.iter().map(Member::now);
    if roster.cloudlets.len() <= MOST_SHOWN {
        return all().collect();
    }
    let of_file = all().filter(|known| known.is_from_file());
    let others = all().filter(|known| !known.is_from_file());
    of_file.chain(others).take(MOST_SHOWN).collect()
}

fn json(update: &Update) -> Option<String> {
    let json = serde_json::to_string(update);
    json.inspect_err(|error| tracing::error!(%error, "update does not serialise"))
        .ok()
}
