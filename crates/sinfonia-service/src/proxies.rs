//! Who a request comes from, seen through the proxies in between.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use sinfonia_core::network::{Network, canonical};

/// Header in which a Tier 1 states the device's address.
pub const X_CLIENT_IP: HeaderName = HeaderName::from_static("x-clientip");

/// Header in which each proxy adds whom it was asked by.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks of the proxies whose word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// How a client's address became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSource {
    /// It is the other end of the connection.
    Peer,
    /// `X-Forwarded-For` says so.
    ForwardedFor,
    /// `X-ClientIP` says so.
    ClientIp,
}

/// Who a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The client's address; never an IPv4-mapped one.
    pub address: IpAddr,
    /// How the client's address became known.
    pub source: AddressSource,
    /// The other end of the connection; never an IPv4-mapped address.
    pub peer: IpAddr,
    /// Whether the other end is a trusted proxy.
    pub is_trusted: bool,
    /// Whether the request carries a valid token.
    pub has_token: bool,
}

impl TrustedProxies {
    /// Trusts these networks; none of them trusts nobody.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether the address is one of a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Finds out who a request comes from.
    ///
    /// What headers say counts only from a trusted proxy or with a valid token. From the bearer of a token `X-ClientIP` wins where
    /// both are there, otherwise `X-Forwarded-For`. A header that is malformed is ignored, as if it were absent.
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap, has_token: bool) -> Caller {
        let peer = canonical(peer);
        let is_trusted = self.contains(peer);
        let forwarded = || Some((self.forwarded_for(headers)?, AddressSource::ForwardedFor));
        let stated = || Some((client_ip(headers)?, AddressSource::ClientIp));
        let told = match (has_token, is_trusted) {
            (true, _) => stated().or_else(forwarded),
            (false, true) => forwarded().or_else(stated),
            (false, false) => None,
        };
        let (address, source) = told.unwrap_or((peer, AddressSource::Peer));
        Caller {
            address,
            source,
            peer,
            is_trusted,
            has_token,
        }
    }

    /// The first hop from the right that is not trusted; the leftmost one where all are. Whoever is to the left of it could write
    /// anything there, so nobody looks.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut furthest = None;
        for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            let hops = value.to_str().ok()?;
            for hop in hops
                .rsplit(',')
                .map(str::trim)
                .filter(|hop| !hop.is_empty())
            {
                let address = parse_hop(hop)?;
                if !self.contains(address) {
                    return Some(address);
                }
                furthest = Some(address);
            }
        }
        furthest
    }
}

fn client_ip(headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(X_CLIENT_IP).iter();
    let (value, further) = (values.next()?, values.next());
    let address = value.to_str().ok()?.trim().parse().ok()?;
    further.is_none().then(|| canonical(address))
}

/// Reads an address that may have a port and, if IPv6, brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().map(IpAddr::V6).ok(),
        None => hop
            .parse()
            .ok()
            .or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip())),
    };
    address.map(canonical)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;
    use AddressSource::{ClientIp, ForwardedFor, Peer};

    const STRANGER: &str = "203.0.113.9";
    const PROXY: &str = "10.0.0.1";

    #[rstest]
    #[case::nobody_says_anything(&[], PROXY, Peer)]
    #[case::the_only_hop(&["198.51.100.1"], "198.51.100.1", ForwardedFor)]
    #[case::the_last_hop_that_is_not_trusted(&["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1", ForwardedFor)]
    #[case::what_a_client_made_up_is_not_looked_at(&["<script>, 198.51.100.1"], "198.51.100.1", ForwardedFor)]
    #[case::lines_are_joined(&["1.1.1.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1", ForwardedFor)]
    #[case::the_leftmost_where_all_are_trusted(&["10.0.0.3, 10.0.0.2"], "10.0.0.3", ForwardedFor)]
    #[case::a_port(&["198.51.100.1:4711"], "198.51.100.1", ForwardedFor)]
    #[case::brackets(&["[2001:db8::1]"], "2001:db8::1", ForwardedFor)]
    #[case::brackets_and_port(&["[2001:db8::1]:4711"], "2001:db8::1", ForwardedFor)]
    #[case::bare_ipv6(&["2001:db8::1"], "2001:db8::1", ForwardedFor)]
    #[case::ipv4_mapped(&["::ffff:198.51.100.1"], "198.51.100.1", ForwardedFor)]
    #[case::a_mapped_hop_is_trusted_as_ipv4(&["198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1", ForwardedFor)]
    #[case::empty_elements(&["198.51.100.1,, ,"], "198.51.100.1", ForwardedFor)]
    #[case::malformed(&["unknown"], PROXY, Peer)]
    #[case::malformed_before_a_trusted_hop(&["198.51.100.1, unknown, 10.0.0.2"], PROXY, Peer)]
    #[case::brackets_around_ipv4(&["[198.51.100.1]"], PROXY, Peer)]
    #[case::zone(&["fe80::1%eth0"], PROXY, Peer)]
    #[case::empty(&[""], PROXY, Peer)]
    fn forwarded_for_is_read_from_the_right(
        #[case] lines: &[&'static str],
        #[case] address: &str,
        #[case] source: AddressSource,
    ) {
        let headers = lines
            .iter()
            .map(|line| (X_FORWARDED_FOR, HeaderValue::from_static(line)))
            .collect();

        let caller = proxies().caller(ip(PROXY), &headers, false);

        let peer = ip(PROXY);
        assert_eq!(
            caller,
            Caller {
                address: ip(address),
                source,
                peer,
                is_trusted: true,
                has_token: false
            }
        );
    }

    #[rstest]
    #[case::stranger(STRANGER, false, STRANGER, Peer)]
    #[case::trusted_proxy(PROXY, false, "198.51.100.1", ForwardedFor)]
    #[case::bearer_of_a_token(STRANGER, true, "198.51.100.2", ClientIp)]
    #[case::trusted_bearer_of_a_token(PROXY, true, "198.51.100.2", ClientIp)]
    fn where_both_headers_are_there_the_caller_decides(
        #[case] peer: &str,
        #[case] has_token: bool,
        #[case] address: &str,
        #[case] source: AddressSource,
    ) {
        let headers = headers(&[
            (X_FORWARDED_FOR, "198.51.100.1"),
            (X_CLIENT_IP, "198.51.100.2"),
        ]);

        let caller = proxies().caller(ip(peer), &headers, has_token);

        assert_eq!((caller.address, caller.source), (ip(address), source));
    }

    #[rstest]
    #[case::stranger(STRANGER, false, STRANGER, Peer)]
    #[case::trusted_proxy(PROXY, false, "198.51.100.2", ClientIp)]
    #[case::bearer_of_a_token(STRANGER, true, "198.51.100.2", ClientIp)]
    fn client_ip_counts_from_those_whose_word_counts(
        #[case] peer: &str,
        #[case] has_token: bool,
        #[case] address: &str,
        #[case] source: AddressSource,
    ) {
        let caller = proxies().caller(
            ip(peer),
            &headers(&[(X_CLIENT_IP, "198.51.100.2")]),
            has_token,
        );

        assert_eq!((caller.address, caller.source), (ip(address), source));
    }

    #[rstest]
    #[case::stranger(STRANGER, false, STRANGER, Peer)]
    #[case::bearer_of_a_token(STRANGER, true, "198.51.100.1", ForwardedFor)]
    fn forwarded_for_counts_with_a_token_too(
        #[case] peer: &str,
        #[case] has_token: bool,
        #[case] address: &str,
        #[case] source: AddressSource,
    ) {
        let caller = proxies().caller(
            ip(peer),
            &headers(&[(X_FORWARDED_FOR, "198.51.100.1")]),
            has_token,
        );

        assert_eq!((caller.address, caller.source), (ip(address), source));
    }

    #[rstest]
    #[case::no_address("device")]
    #[case::empty("")]
    #[case::a_list("198.51.100.2, 198.51.100.3")]
    #[case::a_port("198.51.100.2:80")]
    #[case::a_network("198.51.100.0/24")]
    fn a_malformed_client_ip_is_ignored(#[case] value: &'static str) {
        let both = headers(&[(X_CLIENT_IP, value), (X_FORWARDED_FOR, "198.51.100.1")]);

        let with_both = proxies().caller(ip(PROXY), &both, true);
        let alone = proxies().caller(ip(PROXY), &headers(&[(X_CLIENT_IP, value)]), true);

        assert_eq!(
            (with_both.address, with_both.source),
            (ip("198.51.100.1"), ForwardedFor)
        );
        assert_eq!((alone.address, alone.source), (ip(PROXY), Peer));
    }

    #[test]
    fn two_client_ips_contradict_each_other() {
        let mut headers = headers(&[(X_CLIENT_IP, "198.51.100.2")]);
        headers.append(X_CLIENT_IP, HeaderValue::from_static("198.51.100.3"));

        assert_eq!(proxies().caller(ip(PROXY), &headers, false).source, Peer);
    }

    #[test]
    fn a_malformed_forwarded_for_leaves_the_word_to_client_ip() {
        let headers = headers(&[(X_FORWARDED_FOR, "unknown"), (X_CLIENT_IP, "198.51.100.2")]);

        assert_eq!(
            proxies().caller(ip(PROXY), &headers, false).address,
            ip("198.51.100.2")
        );
    }

    #[test]
    fn an_ipv4_mapped_peer_is_ipv4() {
        let caller = proxies().caller(ip("::ffff:10.0.0.1"), &HeaderMap::new(), false);

        let expected = Caller {
            address: ip(PROXY),
            source: Peer,
            peer: ip(PROXY),
            is_trusted: true,
            has_token: false,
        };
        assert_eq!(caller, expected);
    }

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()])
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
