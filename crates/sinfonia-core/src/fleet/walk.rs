//! The candidates of one request, best first, looked at no earlier than needed.
//!
//! This is the incremental search for nearest neighbours of G. R. Hjaltason and H. Samet ("Distance browsing in spatial databases", ACM
//! TODS 24, 1999), over the whole order of a ranking in place of distance alone. One queue, the frontier, holds what was not looked into yet,
//! by the best place that anything in it could take. Another one holds the candidates that were judged, in their exact order. The first of
//! these is next as soon as nothing in the frontier could come before it or beside it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use uuid::Uuid;

use super::space::{Cell, Point, least_km, squared_chord_of};
use super::tree::{Node, Tree};
use super::{Fleet, Member};
use crate::client::ClientInfo;
use crate::cloudlet::{Cloudlet, Placement};
use crate::endpoint::Endpoint;
use crate::ranking::{Candidate, Class, Conditions, Matcher, OrderKey, Refinement};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The device.
    pub client: ClientInfo,
    /// What orders the cloudlets.
    pub matchers: &'a [Matcher],
    /// The cloudlets that come first where they are eligible.
    pub remembered: &'a [Uuid],
    /// Most candidates that are wanted.
    pub most: usize,
}

/// Where a cloudlet stands for a client, and why: a [`Candidate`] without the cloudlet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// How it is.
    pub conditions: Conditions,
    /// The matcher that yielded it.
    pub matcher: Matcher,
    /// Kilometres from the client to its closest location, where both are known.
    pub distance_km: Option<f64>,
    /// Its place among the others.
    pub order: OrderKey,
}

/// Yields the candidates of a request, best first, each with its standing.
pub struct Walk<'a, T: Member, J> {
    judge: J,
    from: Option<Point>,
    frontier: BinaryHeap<Reverse<Ahead<'a, T>>>,
    /// Those that may still be among the `left` best.
    judged: BTreeMap<Place, (T::Now, Standing)>,
    /// Those that were judged and could be met again, by the addresses of their placements.
    met: HashSet<usize>,
    left: usize,
}

/// Where a candidate stands, its endpoint telling apart what has equal keys.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    order: OrderKey,
    endpoint: Endpoint,
}

/// Something that was not looked into yet. Nothing in it can come before its group, nor be nearer than its chord.
struct Ahead<'a, T> {
    group: usize,
    squared_chord: f64,
    /// The cell that the chord leads to, while the chord could still be replaced by a closer one.
    cell: Option<Cell>,
    what: What<'a, T>,
}

enum What<'a, T> {
    /// A cloudlet.
    Member(&'a T),
    /// Cloudlets of one of the smallest cells: those of a crowd have a bound in common.
    Together(&'a [(u64, T)]),
    /// All with a location in a cell.
    Within(&'a Node<T>, Cell),
    /// All of an index, in no order.
    All(&'a Tree<T>),
}

impl Standing {
    /// The candidate that this is the standing of.
    pub fn of(self, cloudlet: &Cloudlet) -> Candidate<'_> {
        Candidate {
            cloudlet,
            conditions: self.conditions,
            matcher: self.matcher,
            distance_km: self.distance_km,
            order: self.order,
            refinement: Refinement::default(),
        }
    }
}

impl From<Candidate<'_>> for Standing {
    fn from(candidate: Candidate<'_>) -> Self {
        Self {
            conditions: candidate.conditions,
            matcher: candidate.matcher,
            distance_km: candidate.distance_km,
            order: candidate.order,
        }
    }
}

impl<T: Member> Fleet<T> {
    /// Looks for candidates, in the order that all cloudlets have when each is judged and all are sorted by standing, then by endpoint.
    ///
    /// `judge` tells where a cloudlet stands, or `None` if it may not serve. It has to agree with the search: the group of the standing is
    /// the place of the first matcher that yields the cloudlet, it is remembered if the search says so, and the distance that orders it is
    /// that of the placement. It is asked once for each cloudlet that could be next, and about others not at all.
    pub fn walk<J>(&self, search: &Search<'_>, judge: J) -> Walk<'_, T, J>
    where
        J: FnMut(&T::Now) -> Option<Standing>,
    {
        let mut walk = Walk {
            judge,
            from: search
                .client
                .location()
                .map(|location| Point::of(&location)),
            frontier: BinaryHeap::new(),
            judged: BTreeMap::new(),
            met: HashSet::new(),
            left: search.most,
        };
        for remembered in search.remembered {
            for member in self.of_uuid(*remembered) {
                walk.meet(member, |order| order.remembered);
            }
        }
        for (group, matcher) in search.matchers.iter().enumerate() {
            match matcher {
                Matcher::Network => walk.look_at_networks(self, group, search.client),
                Matcher::Location => walk.look_at_places(self, group),
                Matcher::Random => {
                    let is_located = search.matchers[..group].contains(&Matcher::Location);
                    walk.look_at_rest(self, group, is_located);
                    break;
                }
            }
        }
        walk
    }

    /// The candidates of a search, best first. Where all are wanted they are judged and sorted, which is cheaper than a walk to the end.
    pub fn search<J>(&self, search: &Search<'_>, mut judge: J) -> Vec<(T::Now, Standing)>
    where
        J: FnMut(&T::Now) -> Option<Standing>,
    {
        if search.most < self.len() {
            return self.walk(search, judge).collect();
        }
        let judged = self.iter().filter_map(|member| {
            let now = member.now();
            let standing = judge(&now)?;
            Some((standing.order, member, now, standing))
        });
        let mut found: Vec<_> = judged.collect();
        found.sort_unstable_by(|(a, one, ..), (b, other, ..)| {
            let by_endpoint = || one.placement().endpoint.cmp(&other.placement().endpoint);
            a.cmp(b).then_with(by_endpoint)
        });
        let found = found.into_iter();
        found.map(|(_, _, now, standing)| (now, standing)).collect()
    }
}

impl<T: Member, J: FnMut(&T::Now) -> Option<Standing>> Iterator for Walk<'_, T, J> {
    type Item = (T::Now, Standing);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_settled() {
            let Reverse(mut ahead) = self.frontier.pop()?;
            let Some(squared_chord) = self.closer(&ahead) else {
                self.look_into(ahead.group, &ahead.what);
                continue;
            };
            ahead.squared_chord = squared_chord;
            ahead.cell = None;
            self.frontier.push(Reverse(ahead));
        }
        let (_, found) = self.judged.pop_first()?;
        self.left -= 1;
        Some(found)
    }
}

impl<'a, T: Member, J: FnMut(&T::Now) -> Option<Standing>> Walk<'a, T, J> {
    fn look_at_networks(&mut self, fleet: &'a Fleet<T>, group: usize, client: ClientInfo) {
        for member in fleet.by_network.holding(client.address()) {
            let squared_chord = self.squared_chord(member.placement());
            self.push(group, squared_chord, What::Member(member));
        }
    }

    fn look_at_places(&mut self, fleet: &'a Fleet<T>, group: usize) {
        if self.from.is_some() {
            let all = What::Within(fleet.by_place.root(), Cell::ALL);
            self.push_cell(group, Cell::ALL, all);
        }
    }

    /// Of those with a location none is left where their distances are known and ordered them.
    fn look_at_rest(&mut self, fleet: &'a Fleet<T>, group: usize, is_located: bool) {
        let rest = if is_located && self.from.is_some() {
            &fleet.placeless
        } else {
            &fleet.by_endpoint
        };
        self.push(group, 0.0, What::All(rest));
    }

    fn push(&mut self, group: usize, squared_chord: f64, what: What<'a, T>) {
        self.frontier.push(Reverse(Ahead {
            group,
            squared_chord,
            cell: None,
            what,
        }));
    }

    fn push_cell(&mut self, group: usize, cell: Cell, what: What<'a, T>) {
        let from = self.from.as_ref();
        self.frontier.push(Reverse(Ahead {
            group,
            squared_chord: from.map_or(f64::INFINITY, |from| from.squared_chord_to_cell(&cell)),
            cell: Some(cell),
            what,
        }));
    }

    /// Whether what comes next is known: nothing ahead could come before the first that was judged, nor be its equal in all but the hash.
    fn is_settled(&self) -> bool {
        if self.left == 0 {
            return true;
        }
        let Some(Reverse(next)) = self.frontier.peek() else {
            return true;
        };
        let Some((first, _)) = self.judged.first_key_value() else {
            return false;
        };
        let order = first.order;
        let nearer = || order.distance_km.unwrap_or(f64::INFINITY) < least_km(next.squared_chord);
        order.remembered
            || (order.class == Class::Normal
                && (order.group < next.group || (order.group == next.group && nearer())))
    }

    /// A longer chord, where one can be told: computing it is worth it only for what would be looked into otherwise.
    fn closer(&self, ahead: &Ahead<'a, T>) -> Option<f64> {
        let squared_chord = squared_chord_of(ahead.cell?.least_km_from(self.from.as_ref()?)?);
        (squared_chord > ahead.squared_chord).then_some(squared_chord)
    }

    fn look_into(&mut self, group: usize, what: &What<'a, T>) {
        let is_new = |order: &OrderKey| order.group == group;
        match *what {
            What::Member(member) => self.meet(member, is_new),
            What::Together(members) => {
                for (_, member) in members {
                    self.meet(member, is_new);
                }
            }
            What::All(members) => {
                for member in members.iter() {
                    self.meet(member, is_new);
                }
            }
            What::Within(Node::Bucket(items), _) => {
                for neighbours in items.chunk_by(|(one, _), (other, _)| one == other) {
                    if let [(key, _), ..] = neighbours {
                        self.push_cell(group, Cell::of_key(*key), What::Together(neighbours));
                    }
                }
            }
            What::Within(Node::Branches(branches), cell) => {
                for (branch, digit) in branches.iter().zip(0..) {
                    if let Some(node) = branch {
                        let part = cell.part(digit);
                        self.push_cell(group, part, What::Within(node, part));
                    }
                }
            }
        }
    }

    /// Judges a cloudlet. It counts only where it belongs, by `is_new`: elsewhere it was met before or will be later.
    fn meet(&mut self, member: &T, is_new: impl Fn(&OrderKey) -> bool) {
        let placement = member.placement();
        let address = std::ptr::from_ref(placement).addr();
        if self.met.contains(&address) {
            return;
        }
        let now = member.now();
        let standing = (self.judge)(&now);
        if standing.is_some_and(|standing| !is_new(&standing.order)) {
            return;
        }
        let is_remembered = standing.is_some_and(|standing| standing.order.remembered);
        if is_remembered || placement.locations.len() > 1 || placement.local_networks.len() > 1 {
            self.met.insert(address);
        }
        if let Some(standing) = standing {
            let place = Place {
                order: standing.order,
                endpoint: placement.endpoint.clone(),
            };
            self.keep(place, now, standing);
        }
    }

    /// Keeps as many as can still be asked for.
    fn keep(&mut self, place: Place, now: T::Now, standing: Standing) {
        if self.judged.len() >= self.left {
            match self.judged.last_key_value() {
                Some((last, _)) if place < *last => self.judged.pop_last(),
                _ => return,
            };
        }
        self.judged.insert(place, (now, standing));
    }

    /// The chord that is as long as the bound for the closest location.
    fn squared_chord(&self, placement: &Placement) -> f64 {
        let from = self.from.iter();
        let bounds = from.flat_map(|from| {
            let points = placement.locations.iter().map(Point::of);
            points.map(|point| from.least_km(&point))
        });
        bounds
            .min_by(f64::total_cmp)
            .map_or(f64::INFINITY, squared_chord_of)
    }
}

impl<T> Ord for Ahead<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.group
            .cmp(&other.group)
            .then(self.squared_chord.total_cmp(&other.squared_chord))
    }
}

impl<T> PartialOrd for Ahead<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ahead<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ahead<'_, T> {}
