//! Which cloudlets are asked for a deployment, in which order.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::fleet::{Member, Search, Standing};
use sinfonia_core::key::PublicKey;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{
    self, Conditions, Exclusion, Matcher, OrderKey, Ranker, Ranking, RankingRequest, RankingRules,
};
use sinfonia_core::round_trip::RoundTrips;
use uuid::Uuid;

use crate::circuits::{self, Circuits};
use crate::registry::{Known, Roster};

/// Whom a deployment is for, and where it may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// The recipe.
    pub(crate) recipe: Uuid,
    /// What the recipe requires and prefers.
    pub(crate) policy: &'a Policy,
    /// The device's key.
    pub(crate) key: &'a PublicKey,
    /// The device.
    pub(crate) client: ClientInfo,
    /// The round trips that it measured.
    pub(crate) round_trips: &'a RoundTrips,
    /// The only cloudlet that may get it, where there is but one.
    pub(crate) only: Option<Uuid>,
    /// The cloudlets that must not get it.
    pub(crate) exclude: &'a [Uuid],
    /// The endpoints that serve this recipe and key already.
    pub(crate) remembered: &'a [Endpoint],
    /// Which cloudlets are asked after others.
    pub(crate) circuits: &'a Circuits,
}

/// A cloudlet that may get the deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// The cloudlet.
    pub(crate) known: Arc<Known>,
    /// The matcher that yielded it.
    pub(crate) matcher: Matcher,
    /// Kilometres to the client, where both places are known.
    pub(crate) distance_km: Option<f64>,
    /// Milliseconds of a round trip that the client measured, where that is believed.
    pub(crate) rtt_ms: Option<f64>,
    /// What decided its place.
    pub(crate) order: OrderKey,
}

/// Who may get a deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// Those that may, best first.
    pub(crate) candidates: Vec<Candidate>,
    /// How many may not, as far as was looked.
    pub(crate) excluded: Excluded,
}

/// The moment of a decision, by the clocks that what is known is told by.
#[derive(Debug, Clone, Copy)]
struct Now {
    time: Timestamp,
    instant: Instant,
}

impl Now {
    fn at(time: Timestamp) -> Self {
        Self {
            time,
            instant: circuits::now(),
        }
    }
}

/// How many of the cloudlets that were looked at each rule excluded from a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Excluded(BTreeMap<&'static str, usize>);

impl Excluded {
    fn count(&mut self, exclusion: &Exclusion) {
        *self.0.entry(exclusion.rule()).or_default() += 1;
    }

    /// The rules with their counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.iter().map(|(rule, count)| (*rule, *count))
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self
            .iter()
            .map(|(rule, count)| format!("{rule}={count}"))
            .collect();
        formatter.write_str(&counts.join(" "))
    }
}

/// Ranks all cloudlets of a roster, as they are now, for a wish. `snapshot` holds them.
pub(crate) fn rank<'a>(
    roster: &Roster,
    snapshot: &'a [Arc<Known>],
    wish: &Wish<'_>,
    rules: RankingRules<'_>,
    now: Timestamp,
) -> Ranking<'a> {
    let (remembered, now) = (wish.remembered_in(roster), Now::at(now));
    let may_get_it = |known: &&Arc<Known>| wish.may_be_served_by(known);
    let cloudlets = snapshot.iter().filter(may_get_it);
    let cloudlets = cloudlets.map(|known| (&known.cloudlet, wish.conditions(known, now)));
    ranking::rank(wish.request(&remembered), rules, cloudlets)
}

impl Choice {
    /// The first cloudlets of a roster, as they are now: this many, or all that are refined. Others are looked at no further than it takes
    /// to know that.
    pub(crate) fn new(
        roster: &Roster,
        wish: &Wish<'_>,
        rules: RankingRules<'_>,
        now: Timestamp,
        most: usize,
    ) -> Self {
        let (remembered, now) = (wish.remembered_in(roster), Now::at(now));
        let ranker = Ranker::new(wish.request(&remembered), rules);
        let mut excluded = Excluded::default();
        let mut judge = |known: &Arc<Known>| {
            if !wish.may_be_served_by(known) {
                return None;
            }
            let judged = ranker.judge(&known.cloudlet, wish.conditions(known, now));
            let judged = judged.inspect_err(|exclusion| excluded.count(exclusion));
            judged.ok().map(Standing::from)
        };
        let found = match wish.only {
            Some(only) => {
                let known = roster.cloudlets.of_uuid(only).map(Member::now);
                let judged = known.filter_map(|known| Some((judge(&known)?, known)));
                judged.map(|(standing, known)| (known, standing)).collect()
            }
            None => {
                let shortlist = if wish.is_refined_by(&ranker) {
                    rules.shortlist
                } else {
                    0
                };
                let search = Search {
                    client: wish.client,
                    matchers: rules.matchers,
                    remembered: &remembered,
                    most: most.max(shortlist),
                };
                roster.cloudlets.search(&search, judge)
            }
        };
        let candidates = if wish.is_refined_by(&ranker) {
            refined(&found, &ranker, rules.shortlist)
        } else {
            found.iter().map(Candidate::from).collect()
        };
        Self {
            candidates,
            excluded,
        }
    }

    /// Takes over those of a later choice that are not in this one, after its own, up to this many in all. Gives what was taken over.
    pub(crate) fn add(&mut self, later: Self, most: usize) -> Vec<Candidate> {
        let endpoint = |candidate: &Candidate| candidate.known.cloudlet.endpoint.clone();
        let own: HashSet<Endpoint> = self.candidates.iter().map(endpoint).collect();
        let mut new = later.candidates;
        new.retain(|candidate| !own.contains(&candidate.known.cloudlet.endpoint));
        new.truncate(most.saturating_sub(own.len()));
        self.candidates.extend_from_slice(&new);
        self.excluded = later.excluded;
        new
    }
}

/// Makes candidates of what was found, the first of them in the order that is preferred.
fn refined(
    found: &[(Arc<Known>, Standing)],
    ranker: &Ranker<'_>,
    shortlist: usize,
) -> Vec<Candidate> {
    let (first, rest) = found.split_at(shortlist.min(found.len()));
    let mut ordered: Vec<ranking::Candidate<'_>> = first
        .iter()
        .map(|(known, standing)| standing.of(&known.cloudlet))
        .collect();
    ranker.refine(&mut ordered);
    let place = |ordered: &ranking::Candidate<'_>| {
        let mut first = first.iter();
        first.find(|(known, _)| std::ptr::eq(&raw const known.cloudlet, ordered.cloudlet))
    };
    let ordered = ordered.iter().filter_map(place);
    ordered.chain(rest).map(Candidate::from).collect()
}

impl<'a> Wish<'a> {
    const fn request(&self, remembered: &'a [Uuid]) -> RankingRequest<'a> {
        RankingRequest {
            recipe: self.recipe,
            policy: self.policy,
            key: self.key,
            client: self.client,
            remembered,
        }
    }

    /// The uuids of those that serve this recipe and key already.
    fn remembered_in(&self, roster: &Roster) -> Vec<Uuid> {
        let remembered = self.remembered.iter();
        let known = remembered.filter_map(|endpoint| roster.cloudlets.at(endpoint));
        known.map(Member::uuid).collect()
    }

    fn may_be_served_by(&self, known: &Known) -> bool {
        let uuid = known.cloudlet.uuid;
        self.only.is_none_or(|only| only == uuid) && !self.exclude.contains(&uuid)
    }

    /// Whether the first candidates change places among themselves.
    fn is_refined_by(&self, ranker: &Ranker<'_>) -> bool {
        ranker.has_preferences() || !self.round_trips.is_empty()
    }

    fn conditions(&self, known: &Known, now: Now) -> Conditions {
        let conditions = known.conditions(now.time);
        let endpoint = &known.cloudlet.endpoint;
        Conditions {
            class: self.circuits.class(conditions.class, endpoint, now.instant),
            rtt_ms: self.round_trips.believed(&self.client, &known.cloudlet),
            ..conditions
        }
    }
}

impl From<&(Arc<Known>, Standing)> for Candidate {
    fn from((known, standing): &(Arc<Known>, Standing)) -> Self {
        Self {
            known: Arc::clone(known),
            matcher: standing.matcher,
            distance_km: standing.distance_km,
            rtt_ms: standing.conditions.rtt_ms,
            order: standing.order,
        }
    }
}

impl Candidate {
    /// The candidate as a list shows it, with its place counted from 1.
    pub(crate) fn info(&self, rank: usize) -> CandidateInfo {
        CandidateInfo {
            cloudlet: self.known.cloudlet.info(),
            rank: Some(rank),
            matcher: Some(self.matcher.to_string()),
            distance_km: self.distance_km,
            rtt_ms: self.rtt_ms,
        }
    }
}
