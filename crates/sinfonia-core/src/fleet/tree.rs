//! The persistent tree that all of a fleet's indices are.

use std::sync::Arc;

use super::{Member, key};
use crate::endpoint::Endpoint;

/// Largest key.
pub(super) const LARGEST_KEY: u64 = u64::MAX >> 1;
/// Digits of a key, of three bits each.
pub(super) const KEY_DIGITS: u32 = 21;
/// Digits that lead to a member: those of its key, then those of its endpoint's.
const DIGITS: u32 = 2 * KEY_DIGITS;
/// Members of a bucket before it is split.
const BUCKET: usize = 32;

/// Members by keys from 0 to [`LARGEST_KEY`], any number for each key. Clones share what they have in common.
///
/// It is a radix tree: at depth d the d-th octal digit of the key chooses the branch. Members of one key are told apart by their endpoints, so
/// that no bucket grows without bounds. Its shape does not depend on the order of insertions, and it needs no balancing.
#[derive(Debug, Clone)]
pub(super) struct Tree<T> {
    root: Arc<Node<T>>,
    len: usize,
}

#[derive(Debug)]
pub(super) enum Node<T> {
    /// Few members, in no order.
    Bucket(Vec<(u64, T)>),
    /// One branch per digit; none is empty.
    Branches([Option<Arc<Self>>; 8]),
}

/// Where a member stands: the digits that lead to it.
#[derive(Clone, Copy)]
struct Path {
    key: u64,
    /// That of the endpoint.
    tie: u64,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::Bucket(Vec::new())),
            len: 0,
        }
    }
}

impl<T> Tree<T> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn root(&self) -> &Node<T> {
        &self.root
    }

    /// All members; one that is there under several keys comes as often.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.root.items().map(|(_, member)| member)
    }

    /// The members of a key and all larger ones, with their keys, ascending.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = (u64, &T)> {
        let mut pending = Vec::new();
        let mut node = &*self.root;
        let mut depth = 0;
        while let Node::Branches(branches) = node
            && depth < KEY_DIGITS
        {
            let digit = digit(key, depth);
            pending.extend(
                branches[digit + 1..]
                    .iter()
                    .rev()
                    .filter_map(Option::as_deref),
            );
            let Some(next) = &branches[digit] else { break };
            node = next;
            depth += 1;
        }
        if depth == KEY_DIGITS || matches!(node, Node::Bucket(_)) {
            pending.push(node);
        }
        Node::buckets(pending).flat_map(move |items| {
            let items = items.iter().map(|(other, member)| (*other, member));
            let mut ascending: Vec<_> = items.filter(|(other, _)| *other >= key).collect();
            ascending.sort_unstable_by_key(|(other, _)| *other);
            ascending
        })
    }

    /// The members of a key.
    pub(super) fn get(&self, key: u64) -> impl Iterator<Item = &T> {
        let mut node = Some(&*self.root);
        let mut depth = 0;
        while let Some(Node::Branches(branches)) = node
            && depth < KEY_DIGITS
        {
            node = branches[digit(key, depth)].as_deref();
            depth += 1;
        }
        // Nearly always it is one bucket.
        let (bucket, branches) = match node {
            Some(Node::Bucket(items)) => (&items[..], None),
            branches => (&[][..], branches),
        };
        let items = bucket
            .iter()
            .chain(branches.into_iter().flat_map(Node::items));
        items.filter_map(move |(other, member)| (*other == key).then_some(member))
    }
}

impl<T: Member> Tree<T> {
    pub(super) fn insert(&mut self, key: u64, member: T) {
        let path = Path::new(key, &member.placement().endpoint);
        Arc::make_mut(&mut self.root).insert(path, 0, member);
        self.len += 1;
    }

    /// Takes out a member that is there, once if it is there under this key several times.
    pub(super) fn remove(&mut self, key: u64, endpoint: &Endpoint) {
        let path = Path::new(key, endpoint);
        if Arc::make_mut(&mut self.root).remove(path, 0, endpoint) {
            self.len -= 1;
        }
    }
}

impl<T> Node<T> {
    fn items(&self) -> impl Iterator<Item = &(u64, T)> {
        Self::buckets(vec![self]).flatten()
    }

    /// The buckets below some nodes: the last node comes first, the branches of each in their order.
    fn buckets<'a>(mut pending: Vec<&'a Self>) -> impl Iterator<Item = &'a Vec<(u64, T)>> + 'a {
        std::iter::from_fn(move || {
            loop {
                match pending.pop()? {
                    Self::Bucket(items) => return Some(items),
                    Self::Branches(branches) => {
                        pending.extend(branches.iter().rev().filter_map(Option::as_deref));
                    }
                }
            }
        })
    }
}

impl<T: Member> Node<T> {
    fn insert(&mut self, path: Path, depth: u32, member: T) {
        match self {
            Self::Bucket(items) => {
                items.push((path.key, member));
                if items.len() > BUCKET && depth < DIGITS {
                    *self = Self::split(std::mem::take(items), depth);
                }
            }
            Self::Branches(branches) => {
                let branch = branches[path.digit(depth)].get_or_insert_default();
                Arc::make_mut(branch).insert(path, depth + 1, member);
            }
        }
    }

    fn split(items: Vec<(u64, T)>, depth: u32) -> Self {
        let mut branches = Self::Branches(Default::default());
        for (key, member) in items {
            let path = Path::new(key, &member.placement().endpoint);
            branches.insert(path, depth, member);
        }
        branches
    }

    /// Tells whether it was there.
    fn remove(&mut self, path: Path, depth: u32, endpoint: &Endpoint) -> bool {
        match self {
            Self::Bucket(items) => {
                let place = items.iter().position(|(key, member)| {
                    *key == path.key && member.placement().endpoint == *endpoint
                });
                place.map(|place| items.swap_remove(place)).is_some()
            }
            Self::Branches(branches) => {
                let branch = &mut branches[path.digit(depth)];
                let was_there = branch
                    .as_mut()
                    .is_some_and(|node| Arc::make_mut(node).remove(path, depth + 1, endpoint));
                if branch.as_deref().is_some_and(Self::is_empty) {
                    *branch = None;
                }
                self.merge();
                was_there
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Bucket(items) => items.is_empty(),
            Self::Branches(branches) => branches.iter().all(Option::is_none),
        }
    }

    /// Makes branches that hold few members a bucket. They split again only after a number of insertions.
    fn merge(&mut self) {
        let Self::Branches(branches) = self else {
            return;
        };
        let mut members = 0;
        for branch in branches.iter().flatten() {
            match &**branch {
                Self::Bucket(items) => members += items.len(),
                Self::Branches(_) => return,
            }
        }
        if members <= BUCKET / 2 {
            *self = Self::Bucket(self.items().cloned().collect());
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self::Bucket(Vec::new())
    }
}

impl<T: Clone> Clone for Node<T> {
    /// A clone is about to be changed: a bucket gets room for one more and no more than that.
    fn clone(&self) -> Self {
        match self {
            Self::Bucket(items) => {
                let mut copy = Vec::with_capacity(items.len() + 1);
                copy.extend_from_slice(items);
                Self::Bucket(copy)
            }
            Self::Branches(branches) => Self::Branches(branches.clone()),
        }
    }
}

impl Path {
    fn new(key_of_index: u64, endpoint: &Endpoint) -> Self {
        Self {
            key: key_of_index,
            tie: key(endpoint),
        }
    }

    const fn digit(self, depth: u32) -> usize {
        if depth < KEY_DIGITS {
            digit(self.key, depth)
        } else {
            digit(self.tie, depth - KEY_DIGITS)
        }
    }
}

const fn digit(key: u64, depth: u32) -> usize {
    (key >> (3 * (KEY_DIGITS - 1 - depth)) & 7) as usize
}
