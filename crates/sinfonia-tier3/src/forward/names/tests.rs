//! Names in and out, against messages as name servers and others write them.

use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Record};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::forward::destination::Host;

const ID: u16 = 4711;

#[rstest]
#[case::short("web", &["web.a.svc.", "web.svc.", "web."])]
#[case::some_dots("web.a.svc.cluster.local", &["web.a.svc.cluster.local.a.svc.", "web.a.svc.cluster.local.svc.", "web.a.svc.cluster.local."])]
#[case::five_dots("a.b.c.d.e.f", &["a.b.c.d.e.f.", "a.b.c.d.e.f.a.svc.", "a.b.c.d.e.f.svc."])]
#[case::complete("web.", &["web."])]
fn short_names_are_tried_with_the_search_domains_first(
    #[case] text: &str,
    #[case] expected: &[&str],
) {
    assert_eq!(tried(text, &["a.svc", "svc"]), expected);
}

#[test]
fn without_search_domains_a_name_is_tried_as_it_is() {
    assert_eq!(tried("web", &[]), ["web."]);
}

#[test]
fn names_that_get_too_long_are_left_out() {
    let long = ["a".repeat(60).as_str(); 4].join(".");

    assert_eq!(tried(&long, &["too.long.svc"]), [format!("{long}.")]);
}

#[test]
fn a_question_asks_for_one_family_and_for_recursion() {
    let message = Message::from_vec(&question(Family::V6).message(ID).unwrap()).unwrap();

    assert_eq!(message.metadata.id, ID);
    assert!(message.metadata.recursion_desired);
    assert_eq!(
        message.queries,
        [Query::query(dns("web.svc."), RecordType::AAAA)]
    );
    assert_eq!(message.edns.unwrap().max_payload(), MAX_ANSWER);
}

#[rstest]
#[case::nothing(vec![], Reply::None)]
#[case::address(vec![a("web.svc.", 1)], addresses(&["10.0.0.1"]))]
#[case::addresses(vec![a("web.svc.", 1), a("web.svc.", 2)], addresses(&["10.0.0.1", "10.0.0.2"]))]
#[case::in_other_letters(vec![a("WEB.svc.", 1)], addresses(&["10.0.0.1"]))]
#[case::of_another_name(vec![a("other.svc.", 1)], Reply::None)]
#[case::of_the_other_family(vec![aaaa("web.svc.")], Reply::None)]
#[case::alias(vec![cname("web.svc.", "b."), a("b.", 1)], addresses(&["10.0.0.1"]))]
#[case::alias_behind_its_name(vec![a("c.", 1), cname("b.", "c."), cname("web.svc.", "b.")], addresses(&["10.0.0.1"]))]
#[case::alias_that_leads_nowhere(vec![cname("web.svc.", "b.")], Reply::None)]
#[case::circle_of_aliases(vec![cname("web.svc.", "b."), cname("b.", "web.svc.")], Reply::None)]
#[case::of_another_class(vec![chaos(a("web.svc.", 1))], Reply::None)]
fn the_answer_is_what_belongs_to_the_name(#[case] records: Vec<Record>, #[case] expected: Reply) {
    let answer = answer(|message| {
        message.add_answers(records.clone());
    });

    assert_eq!(question(Family::V4).reply(ID, &answer), Some(expected));
}

#[test]
fn addresses_of_ipv6_are_told_where_they_were_asked_for() {
    let mut message = Message::response(ID, OpCode::Query);
    message.add_query(Query::query(dns("web.svc."), RecordType::AAAA));
    message.add_answers([a("web.svc.", 1), aaaa("web.svc.")]);

    let reply = question(Family::V6).reply(ID, &message.to_vec().unwrap());

    assert_eq!(reply, Some(addresses(&["fd00::1"])));
}

#[rstest]
#[case::no_such_name(ResponseCode::NXDomain, Reply::None)]
#[case::server_failure(ResponseCode::ServFail, Reply::Failed)]
#[case::refused(ResponseCode::Refused, Reply::Failed)]
fn a_code_tells_why_there_is_no_address(#[case] code: ResponseCode, #[case] expected: Reply) {
    let answer = answer(|message| {
        message.metadata.response_code = code;
        message.add_answer(a("web.svc.", 1));
    });

    assert_eq!(question(Family::V4).reply(ID, &answer), Some(expected));
}

#[test]
fn an_answer_that_was_cut_off_does_not_say_that_there_is_no_address() {
    let empty = answer(|message| message.metadata.truncation = true);
    let some = answer(|message| {
        message.metadata.truncation = true;
        message.add_answer(a("web.svc.", 1));
    });

    assert_eq!(question(Family::V4).reply(ID, &empty), Some(Reply::Failed));
    assert_eq!(
        question(Family::V4).reply(ID, &some),
        Some(addresses(&["10.0.0.1"]))
    );
}

#[rstest]
#[case::other_id(|message: &mut Message| message.metadata.id += 1)]
#[case::no_answer(|message: &mut Message| message.metadata.message_type = MessageType::Query)]
#[case::other_purpose(|message: &mut Message| message.metadata.op_code = OpCode::Notify)]
#[case::other_name(|message: &mut Message| message.queries = vec![Query::query(dns("b."), RecordType::A)])]
#[case::other_family(|message: &mut Message| message.queries = vec![Query::query(dns("web.svc."), RecordType::AAAA)])]
#[case::no_question(|message: &mut Message| message.queries.clear())]
fn what_answers_something_else_does_not_count(#[case] change: fn(&mut Message)) {
    let answer = answer(|message| {
        message.add_answer(a("web.svc.", 1));
        change(message);
    });

    assert_eq!(question(Family::V4).reply(ID, &answer), None);
}

proptest! {
    #[test]
    fn garbage_is_no_answer(bytes: Vec<u8>) {
        prop_assert_eq!(question(Family::V4).reply(ID, &bytes), None);
    }

    #[test]
    fn a_damaged_answer_is_read_without_harm(place: prop::sample::Index, value: u8) {
        let mut bytes = answer(|message| {
            message.add_answers([cname("web.svc.", "b."), a("b.", 1)]);
        });
        let place = place.index(bytes.len());
        bytes[place] = value;

        let _ = question(Family::V4).reply(ID, &bytes);
        prop_assert_eq!(question(Family::V4).reply(ID, &bytes[..12]), None);
    }
}

fn tried(text: &str, search: &[&str]) -> Vec<String> {
    let Ok(Host::Name(name)) = text.parse() else {
        panic!("no name");
    };
    let search: Vec<HostName> = search.iter().map(|name| name.parse().unwrap()).collect();
    let names = candidates(&name, &search);
    names.iter().map(ToString::to_string).collect()
}

fn question(family: Family) -> Question {
    Question::new(dns("web.svc."), family)
}

fn answer(change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::response(ID, OpCode::Query);
    message.add_query(Query::query(dns("web.svc."), RecordType::A));
    change(&mut message);
    message.to_vec().unwrap()
}

fn addresses(texts: &[&str]) -> Reply {
    Reply::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn a(name: &str, number: u8) -> Record {
    Record::from_rdata(dns(name), 5, RData::A(A::new(10, 0, 0, number)))
}

fn aaaa(name: &str) -> Record {
    let address = AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    Record::from_rdata(dns(name), 5, RData::AAAA(address))
}

fn cname(name: &str, other: &str) -> Record {
    Record::from_rdata(dns(name), 5, RData::CNAME(CNAME(dns(other))))
}

fn chaos(mut record: Record) -> Record {
    record.dns_class = DNSClass::CH;
    record
}

fn dns(text: &str) -> DnsName {
    DnsName::from_ascii(text).unwrap()
}
