//! The names of a deployment, as the DNS of its cluster would know them. Messages are hickory's.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use sinfonia_core::deployment::DeploymentName;

use crate::cluster::facts::CLUSTER_DOMAIN;

/// Seconds for which an answer is good, as those of a cluster's DNS.
const TTL: u32 = 5;

/// Bytes of the header of a message.
const HEADER: usize = 12;

/// The names of one deployment. Every Service in its Namespace is at one address, whatever it is called: a sandbox does not know which
/// Services the chart would have made. Other names do not exist.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// `<deployment>.svc.cluster.local.`
    namespace: Name,
    address: IpAddr,
}

impl Names {
    /// The names of a deployment whose Services are all at this address; none, if its own is no part of a name.
    pub(super) fn new(deployment: &DeploymentName, address: IpAddr) -> Option<Self> {
        let namespace = Name::from_ascii(format!("{deployment}.svc.{CLUSTER_DOMAIN}.")).ok()?;
        Some(Self { namespace, address })
    }

    /// The answer to a message, unless that is no query.
    pub(super) fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let Ok(message) = Message::from_vec(message) else {
            let id = u16::from_be_bytes(*message.get(..HEADER)?.first_chunk()?);
            let malformed = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
            return malformed.to_vec().ok();
        };
        if message.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::response(message.metadata.id, message.metadata.op_code);
        answer.metadata.recursion_desired = message.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.authoritative = true;
        let [query] = &message.queries[..] else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer.to_vec().ok();
        };
        answer.add_query(query.clone());
        if message.metadata.op_code != OpCode::Query || query.query_class() != DNSClass::IN {
            answer.metadata.response_code = ResponseCode::NotImp;
        } else if query.name().zone_of(&self.namespace) {
            // Nothing is at these names, but there are names below them.
        } else if !self.exists(query.name()) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if let Some(data) = self.data(query.query_type()) {
            answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
        }
        answer.to_vec().ok()
    }

    fn exists(&self, name: &Name) -> bool {
        self.namespace.zone_of(name) && name.num_labels() == self.namespace.num_labels() + 1
    }

    fn data(&self, kind: RecordType) -> Option<RData> {
        match (kind, self.address) {
            (RecordType::A | RecordType::ANY, IpAddr::V4(address)) => {
                Some(RData::A(A::from(address)))
            }
            (RecordType::AAAA | RecordType::ANY, IpAddr::V6(address)) => {
                Some(RData::AAAA(AAAA::from(address)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::helloworld("helloworld.brave-otter-x7k2p.svc.cluster.local.")]
    #[case::any_service("backend.brave-otter-x7k2p.svc.cluster.local.")]
    #[case::upper_case("HelloWorld.Brave-Otter-X7k2p.SVC.cluster.local.")]
    fn every_service_of_the_deployment_is_at_one_address(#[case] name: &str) {
        let answer = ask(name, RecordType::A);

        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        let [record] = &answer.answers[..] else {
            panic!("{answer}")
        };
        assert_eq!(record.data, RData::A(A::new(10, 5, 0, 1)));
        assert_eq!(record.name.to_ascii(), name);
    }

    #[rstest]
    #[case::another_deployment("helloworld.calm-heron-a1b2c.svc.cluster.local.")]
    #[case::a_host_of_the_internet("www.example.org.")]
    #[case::such_a_host_with_the_search_domain("www.example.brave-otter-x7k2p.svc.cluster.local.")]
    fn other_names_do_not_exist(#[case] name: &str) {
        let answer = ask(name, RecordType::A);

        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(answer.answers, []);
    }

    #[rstest]
    #[case::the_namespace("brave-otter-x7k2p.svc.cluster.local.")]
    #[case::the_domain("cluster.local.")]
    #[case::the_root(".")]
    fn what_other_names_are_below_of_exists_without_an_address(#[case] name: &str) {
        let answer = ask(name, RecordType::A);

        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert_eq!(answer.answers, []);
    }

    #[test]
    fn what_is_no_message_is_told_to_be_malformed() {
        let mut message = vec![0xff; 40];
        message[..4].copy_from_slice(&[0x12, 0x34, 0x01, 0x00]);

        let answer = Message::from_vec(&names().answer(&message).unwrap()).unwrap();

        assert_eq!(answer.metadata.id, 0x1234);
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(names().answer(&[0x12, 0x34]), None);
    }

    #[test]
    fn a_service_has_no_address_of_the_other_family_but_exists() {
        let answer = ask(
            "helloworld.brave-otter-x7k2p.svc.cluster.local.",
            RecordType::AAAA,
        );

        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert_eq!(answer.answers, []);
    }

    #[test]
    fn answers_are_not_answered() {
        let answer = ask("helloworld.", RecordType::A).to_vec().unwrap();

        assert_eq!(names().answer(&answer), None);
    }

    #[test]
    fn a_message_without_question_is_malformed() {
        let message = Message::query().to_vec().unwrap();

        let answer = Message::from_vec(&names().answer(&message).unwrap()).unwrap();

        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = names().answer(&bytes);
        }
    }

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = names().answer(&message.to_vec().unwrap()).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, message.metadata.id);
        assert_eq!(answer.queries, message.queries);
        answer
    }

    fn names() -> Names {
        let name = "brave-otter-x7k2p".parse().unwrap();
        Names::new(&name, IpAddr::from([10, 5, 0, 1])).unwrap()
    }
}
