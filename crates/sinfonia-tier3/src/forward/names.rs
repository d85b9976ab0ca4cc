//! Which names are asked for, what is asked, and what an answer amounts to. Nothing here waits or sends.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name as DnsName, RData, RecordType};
use sinfonia_core::resolver::NDOTS;
use sinfonia_core::tunnel::HostName;

use super::destination::Name;

/// Longest answer that we take, in bytes: what reaches everybody without fragments (RFC 9715 §3.2).
pub(super) const MAX_ANSWER: u16 = 1232;

/// Aliases that are followed within an answer, so that a circle of them ends.
const MAX_ALIASES: usize = 16;

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A question about a name's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question(Query);

/// What a name server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no address of that family.
    None,
    /// The server cannot or will not tell.
    Failed,
}

/// The full names that stand for a name, in the order in which resolv.conf(5) has them tried. Those that are too long are left out.
pub(super) fn candidates(name: &Name, search: &[HostName]) -> Vec<DnsName> {
    let text = name.name.as_str();
    let as_it_is = full(text);
    if name.complete {
        return as_it_is.into_iter().collect();
    }
    let longer = search
        .iter()
        .filter_map(|domain| full(&format!("{text}.{domain}")));
    let dots = text.matches('.').count();
    if dots < usize::from(NDOTS) {
        longer.chain(as_it_is).collect()
    } else {
        as_it_is.into_iter().chain(longer).collect()
    }
}

fn full(text: &str) -> Option<DnsName> {
    DnsName::from_ascii(format!("{text}.")).ok()
}

impl Question {
    pub(super) fn new(name: DnsName, family: Family) -> Self {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        Self(Query::query(name, kind))
    }

    /// The question as a message; nothing if it does not fit one, which no name does that passed as one.
    pub(super) fn message(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.0.clone());
        message.set_edns(Edns::new().set_max_payload(MAX_ANSWER).clone());
        message.to_vec().ok()
    }

    /// What a datagram answers to the question with this id; nothing if it is no answer to it.
    pub(super) fn reply(&self, id: u16, datagram: &[u8]) -> Option<Reply> {
        let message = Message::from_vec(datagram).ok()?;
        let head = &message.metadata;
        if head.id != id
            || head.message_type != MessageType::Response
            || head.op_code != OpCode::Query
            || message.queries != [self.0.clone()]
        {
            return None;
        }
        Some(match head.response_code {
            ResponseCode::NoError => match self.addresses(&message) {
                addresses if !addresses.is_empty() => Reply::Addresses(addresses),
                // What was cut off may have held them.
                _ if head.truncation => Reply::Failed,
                _ => Reply::None,
            },
            ResponseCode::NXDomain => Reply::None,
            _ => Reply::Failed,
        })
    }

    /// The addresses of the name, or of the name that it is an alias for; others in the answer do not count.
    fn addresses(&self, message: &Message) -> Vec<IpAddr> {
        let mut name = self.0.name();
        for _ in 0..MAX_ALIASES {
            let own = message
                .answers
                .iter()
                .filter(|record| record.name == *name && record.dns_class == self.0.query_class());
            let mut alias = None;
            let mut addresses = Vec::new();
            for record in own {
                match &record.data {
                    RData::A(address) if self.is(RecordType::A) => {
                        addresses.push(address.0.into());
                    }
                    RData::AAAA(address) if self.is(RecordType::AAAA) => {
                        addresses.push(address.0.into());
                    }
                    RData::CNAME(other) => alias = Some(&other.0),
                    _ => {}
                }
            }
            match alias {
                Some(other) if addresses.is_empty() => name = other,
                _ => return addresses,
            }
        }
        Vec::new()
    }

    fn is(&self, kind: RecordType) -> bool {
        self.0.query_type() == kind
    }
}

#[cfg(test)]
mod tests;
