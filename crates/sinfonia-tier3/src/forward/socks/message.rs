//! The messages of SOCKS5 (RFC 1928), without any I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::destination::{Destination, Host};

const VERSION: u8 = 5;
const WITHOUT_PASSWORD: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// Bytes of a request before the address.
const HEAD: usize = 4;

/// What the beginning of a message amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// It has at least this many bytes in all, more than there are.
    Needs(usize),
    /// It is complete.
    Done(T),
}

/// How a client is ready to say who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Not at all, if need be.
    WithoutPassword,
    /// Only in ways that we do not know.
    OtherMethods,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// A connection.
    Connect(Destination),
    /// Something that it does not get, and why.
    Refused(Reply),
}

/// What a client is told, with the number for it (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Granted = 0,
    Failed = 1,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    NoSuchCommand = 7,
    NoSuchAddressType = 8,
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    /// It is another protocol: 4 is the older SOCKS, letters are HTTP.
    #[error("the client speaks no SOCKS5, its first byte is {0}")]
    Version(u8),
}

pub(super) fn parse_greeting(bytes: &[u8]) -> Result<Parsed<Greeting>, MessageError> {
    check_version(bytes)?;
    let [_, count, methods @ ..] = bytes else {
        return Ok(Parsed::Needs(2));
    };
    let count = usize::from(*count);
    let Some(methods) = methods.get(..count) else {
        return Ok(Parsed::Needs(2 + count));
    };
    Ok(Parsed::Done(if methods.contains(&WITHOUT_PASSWORD) {
        Greeting::WithoutPassword
    } else {
        Greeting::OtherMethods
    }))
}

/// The answer to a greeting.
pub(super) const fn method(greeting: Greeting) -> [u8; 2] {
    match greeting {
        Greeting::WithoutPassword => [VERSION, WITHOUT_PASSWORD],
        Greeting::OtherMethods => [VERSION, NO_METHOD],
    }
}

pub(super) fn parse_request(bytes: &[u8]) -> Result<Parsed<Request>, MessageError> {
    check_version(bytes)?;
    let [_, command, _, kind, rest @ ..] = bytes else {
        return Ok(Parsed::Needs(HEAD));
    };
    let (before, length) = match (*kind, rest.first()) {
        (IPV4, _) => (0, 4),
        (IPV6, _) => (0, 16),
        (DOMAIN, None) => return Ok(Parsed::Needs(HEAD + 1)),
        (DOMAIN, Some(length)) => (1, usize::from(*length)),
        // How long such an address is nobody knows.
        _ => return Ok(Parsed::Done(Request::Refused(Reply::NoSuchAddressType))),
    };
    let end = before + length;
    let (Some(address), Some([high, low])) = (rest.get(before..end), rest.get(end..end + 2)) else {
        return Ok(Parsed::Needs(HEAD + end + 2));
    };
    let port = u16::from_be_bytes([*high, *low]);
    Ok(Parsed::Done(request(*command, host(address, *kind), port)))
}

/// A reply with the address from which a connection was made.
pub(super) fn reply(reply: Reply, from: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![VERSION, reply as u8, 0];
    match from.ip() {
        IpAddr::V4(address) => {
            bytes.push(IPV4);
            bytes.extend(address.octets());
        }
        IpAddr::V6(address) => {
            bytes.push(IPV6);
            bytes.extend(address.octets());
        }
    }
    bytes.extend(from.port().to_be_bytes());
    bytes
}

fn check_version(bytes: &[u8]) -> Result<(), MessageError> {
    match bytes.first() {
        Some(&other) if other != VERSION => Err(MessageError::Version(other)),
        _ => Ok(()),
    }
}

fn host(address: &[u8], kind: u8) -> Option<Host> {
    if kind == DOMAIN {
        return str::from_utf8(address).ok()?.parse().ok();
    }
    let address = match address.try_into() {
        Ok(octets) => IpAddr::V4(Ipv4Addr::from_octets(octets)),
        Err(_) => IpAddr::V6(Ipv6Addr::from_octets(address.try_into().ok()?)),
    };
    Some(Host::Address(address.to_canonical()))
}

fn request(command: u8, host: Option<Host>, port: u16) -> Request {
    match host {
        _ if command != CONNECT => Request::Refused(Reply::NoSuchCommand),
        None => Request::Refused(Reply::HostUnreachable),
        Some(_) if port == 0 => Request::Refused(Reply::Failed),
        Some(host) => Request::Connect(Destination { host, port }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::without_password(&[5, 1, 0], Greeting::WithoutPassword)]
    #[case::among_others(&[5, 3, 2, 1, 0], Greeting::WithoutPassword)]
    #[case::password_alone(&[5, 1, 2], Greeting::OtherMethods)]
    #[case::no_method_at_all(&[5, 0], Greeting::OtherMethods)]
    fn a_greeting_tells_whether_it_goes_without_password(
        #[case] bytes: &[u8],
        #[case] expected: Greeting,
    ) {
        assert_eq!(parse_greeting(bytes), Ok(Parsed::Done(expected)));
    }

    #[rstest]
    #[case::name(b"\x05\x01\0\x03\x03web\0\x50", connect("web:80"))]
    #[case::address_as_a_name(b"\x05\x01\0\x03\x0810.5.0.1\0\x50", connect("10.5.0.1:80"))]
    #[case::ipv4(&[5, 1, 0, 1, 10, 5, 0, 1, 0x1f, 0x90], connect("10.5.0.1:8080"))]
    #[case::ipv6(&[5, 1, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80], connect("[fd00::1]:80"))]
    #[case::bind(&[5, 2, 0, 1, 10, 5, 0, 1, 0, 80], Request::Refused(Reply::NoSuchCommand))]
    #[case::udp(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0], Request::Refused(Reply::NoSuchCommand))]
    #[case::udp_for_a_name(b"\x05\x03\0\x03\x01?\0\x50", Request::Refused(Reply::NoSuchCommand))]
    #[case::address_type(&[5, 1, 0, 2], Request::Refused(Reply::NoSuchAddressType))]
    #[case::no_name(
        b"\x05\x01\0\x03\x03w b\0\x50",
        Request::Refused(Reply::HostUnreachable)
    )]
    #[case::no_text(
        b"\x05\x01\0\x03\x01\xff\0\x50",
        Request::Refused(Reply::HostUnreachable)
    )]
    #[case::empty_name(b"\x05\x01\0\x03\0\0\x50", Request::Refused(Reply::HostUnreachable))]
    #[case::port_zero(&[5, 1, 0, 1, 10, 5, 0, 1, 0, 0], Request::Refused(Reply::Failed))]
    fn a_request_is_granted_or_refused_with_a_reason(
        #[case] bytes: &[u8],
        #[case] expected: Request,
    ) {
        assert_eq!(parse_request(bytes), Ok(Parsed::Done(expected)));
    }

    #[rstest]
    #[case::older_version(4)]
    #[case::http(b'G')]
    #[case::tls(22)]
    fn other_protocols_are_told_by_their_first_byte(#[case] first: u8) {
        let expected = MessageError::Version(first);

        assert_eq!(parse_greeting(&[first]), Err(expected.clone()));
        assert_eq!(parse_request(&[first]), Err(expected));
    }

    #[rstest]
    #[case("10.5.0.2:1", &[5, 5, 0, 1, 10, 5, 0, 2, 0, 1])]
    #[case("[fd00::2]:256", &[5, 5, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0])]
    fn a_reply_tells_from_where(#[case] from: &str, #[case] expected: &[u8]) {
        assert_eq!(reply(Reply::Refused, from.parse().unwrap()), expected);
    }

    proptest! {
        #[test]
        fn a_message_is_never_read_beyond_its_end(bytes in hostile()) {
            never_beyond(&bytes, parse_greeting);
            never_beyond(&bytes, parse_request);
        }

        #[test]
        fn every_name_arrives_as_it_was_sent(name in "[a-z]{1,60}(\\.[a-z]{1,60}){0,2}", port in 1u16..) {
            let mut bytes = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
            bytes.extend(name.as_bytes());
            bytes.extend(port.to_be_bytes());

            let expected = connect(&format!("{name}:{port}"));
            prop_assert_eq!(parse_request(&bytes), Ok(Parsed::Done(expected)));
        }
    }

    /// Bytes that look like a message at first.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let head = (
            prop::sample::select(vec![4u8, 5, 5, 5]),
            0u8..6,
            0u8..2,
            0u8..6,
            any::<u8>(),
        );
        (head, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(head, rest)| {
            let (version, command, reserved, kind, length) = head;
            let mut bytes = vec![version, command, reserved, kind, length];
            bytes.extend(rest);
            bytes
        })
    }

    /// Reads as the proxy does: what is asked for grows, and the message is done exactly where it is satisfied.
    fn never_beyond<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Result<Parsed<T>, MessageError>)
    where
        T: PartialEq + std::fmt::Debug,
    {
        let mut length = 0;
        while let Ok(Parsed::Needs(more)) = parse(&bytes[..length]) {
            assert!(more > length, "it would be asked for ever");
            if more > bytes.len() {
                return;
            }
            length = more;
        }
        let message = parse(&bytes[..length]);
        assert_eq!(message, parse(bytes), "what follows counts");
        if message.is_ok() {
            let shorter = parse(&bytes[..length - 1]);
            assert!(
                matches!(shorter, Ok(Parsed::Needs(_))),
                "its end does not count"
            );
        }
    }

    fn connect(to: &str) -> Request {
        let (host, port) = to.rsplit_once(':').unwrap();
        Request::Connect(Destination {
            host: host.trim_matches(['[', ']']).parse().unwrap(),
            port: port.parse().unwrap(),
        })
    }
}
