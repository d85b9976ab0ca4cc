//! Writes databases in the MaxMind DB format, version 2.0, so that tests need none of anybody's data.

use std::net::IpAddr;

use sinfonia_core::network::Network;

/// Bits of a record of the search tree.
const RECORD_SIZE: u16 = 24;

/// Zeros between the search tree and the data.
const SEPARATOR: usize = 16;

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

/// A database of this type that places these networks at latitude and longitude. Networks do not overlap.
pub(crate) fn database(kind: &str, networks: &[(&str, (f64, f64))]) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (network, place) in networks {
        insert(&mut nodes, network.parse().unwrap(), data.len());
        data.extend(city(*place));
    }
    let mut bytes: Vec<u8> = nodes
        .iter()
        .flatten()
        .flat_map(|record| written(*record, nodes.len()))
        .collect();
    bytes.extend([0; SEPARATOR]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.extend(metadata(kind, nodes.len()));
    bytes
}

fn insert(nodes: &mut Vec<[Record; 2]>, network: Network, data: usize) {
    let net = network.as_ipnet();
    // IPv4 lies in ::/96 of the tree.
    let (bits, length) = match net.network() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 96 + net.prefix_len()),
        IpAddr::V6(address) => (address.to_bits(), net.prefix_len()),
    };
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[node][side] = Record::Data(data);
            return;
        }
        node = match nodes[node][side] {
            Record::Node(next) => next,
            Record::Empty | Record::Data(_) => {
                nodes.push([Record::Empty; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Record::Node(next);
                next
            }
        };
    }
}

fn written(record: Record, nodes: usize) -> [u8; 3] {
    let value = match record {
        Record::Empty => nodes,
        Record::Node(node) => node,
        Record::Data(offset) => nodes + SEPARATOR + offset,
    };
    let [.., first, second, third] = value.to_be_bytes();
    [first, second, third]
}

fn city((latitude, longitude): (f64, f64)) -> Vec<u8> {
    let place = map(&[
        ("latitude", double(latitude)),
        ("longitude", double(longitude)),
    ]);
    map(&[("location", place)])
}

fn metadata(kind: &str, nodes: usize) -> Vec<u8> {
    map(&[
        ("node_count", unsigned(6, nodes as u64)),
        ("record_size", unsigned(5, RECORD_SIZE.into())),
        ("ip_version", unsigned(5, 6)),
        ("database_type", text(kind)),
        ("languages", control(11, 0)),
        ("binary_format_major_version", unsigned(5, 2)),
        ("binary_format_minor_version", unsigned(5, 0)),
        ("build_epoch", unsigned(9, 1_790_000_000)),
        ("description", map(&[])),
    ])
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let fields = fields
        .iter()
        .flat_map(|(name, value)| [text(name), value.clone()]);
    let mut bytes = control(7, fields.clone().count() / 2);
    bytes.extend(fields.flatten());
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = control(2, text.len());
    bytes.extend(text.bytes());
    bytes
}

fn double(value: f64) -> Vec<u8> {
    let mut bytes = control(3, 8);
    bytes.extend(value.to_be_bytes());
    bytes
}

fn unsigned(kind: u8, value: u64) -> Vec<u8> {
    let digits: Vec<u8> = value
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    let mut bytes = control(kind, digits.len());
    bytes.extend(digits);
    bytes
}

/// A value's type and size; types from 8 on take a byte of their own.
fn control(kind: u8, size: usize) -> Vec<u8> {
    let size = u8::try_from(size).unwrap();
    assert!(size < 29, "longer values need longer sizes");
    match kind {
        1..=7 => vec![kind << 5 | size],
        _ => vec![size, kind - 7],
    }
}
