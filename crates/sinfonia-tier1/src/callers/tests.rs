use http::HeaderValue;
use rstest::rstest;
use sinfonia_core::network::Network;
use uuid::Uuid;

use super::*;

const LOOPBACK: &str = "127.0.0.1";
const STRANGER: &str = "203.0.113.9";

#[rstest]
#[case::peer(STRANGER, &[], STRANGER)]
#[case::stranger_states_another(STRANGER, &[("x-clientip", "192.0.2.1")], STRANGER)]
#[case::trusted_states_another(LOOPBACK, &[("x-clientip", "192.0.2.1")], "192.0.2.1")]
#[case::trusted_forwards(LOOPBACK, &[("x-forwarded-for", "192.0.2.2"), ("x-clientip", "192.0.2.1")], "192.0.2.2")]
#[case::operator_states_another(STRANGER, &[("authorization", "Bearer secret"), ("x-clientip", "192.0.2.1")], "192.0.2.1")]
#[case::wrong_token(STRANGER, &[("authorization", "Bearer wrong"), ("x-clientip", "192.0.2.1")], STRANGER)]
#[case::malformed(LOOPBACK, &[("x-clientip", "nonsense")], LOOPBACK)]
fn the_device_is_who_the_trusted_say_it_is(
    #[case] peer: &str,
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: &str,
) {
    assert_eq!(sender(peer, headers).client().address(), ip(expected));
}

#[rstest]
#[case::stated("40.44,-79.94", Some((40.44, -79.94)))]
#[case::malformed("here", None)]
#[case::beyond_the_pole("90.1,0", None)]
fn the_device_is_where_it_says_it_is(#[case] stated: &str, #[case] expected: Option<(f64, f64)>) {
    let client = sender(STRANGER, &[("x-location", stated)]).client();

    let place = client
        .location()
        .map(|place| (place.latitude(), place.longitude()));
    assert_eq!(place, expected);
}

#[rstest]
#[case::nothing(&[], None)]
#[case::one(&[("prefer", "wait=5")], Some(5))]
#[case::among_others(&[("prefer", "respond-async"), ("prefer", "handling=lenient, wait=6")], Some(6))]
fn the_wait_may_be_in_any_line(
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: Option<u64>,
) {
    assert_eq!(sender(STRANGER, headers).prefer_wait(), expected);
}

#[rstest]
#[case::nothing(&[], &[])]
#[case::one(&[("x-rtt", "00000000-0000-0000-0000-000000000001=12.5")], &[(1, 12.5)])]
#[case::malformed(&[("x-rtt", "00000000-0000-0000-0000-000000000001=12.5,x")], &[])]
fn the_device_tells_round_trips_or_none(
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: &[(u128, f64)],
) {
    let mut told = RoundTrips::default();
    for (cloudlet, rtt_ms) in expected {
        told.take(Uuid::from_u128(*cloudlet), *rtt_ms);
    }

    assert_eq!(sender(STRANGER, headers).round_trips(), &told);
}

#[rstest]
#[case::here(LOOPBACK, &[], Ok(()))]
#[case::here_over_ipv6("::1", &[], Ok(()))]
#[case::here_as_mapped_ipv4("::ffff:127.0.0.1", &[], Ok(()))]
#[case::elsewhere(STRANGER, &[], Err(401))]
#[case::elsewhere_saying_here(STRANGER, &[("x-forwarded-for", "127.0.0.1")], Err(401))]
#[case::relayed_here(LOOPBACK, &[("x-forwarded-for", STRANGER)], Err(401))]
#[case::relayed_from_here(LOOPBACK, &[("x-forwarded-for", "127.0.0.1")], Err(401))]
#[case::relayed_without_address(LOOPBACK, &[("forwarded", "for=unknown")], Err(401))]
#[case::stated_here(LOOPBACK, &[("x-clientip", "127.0.0.1")], Err(401))]
#[case::operator(STRANGER, &[("authorization", "Bearer secret")], Ok(()))]
#[case::wrong_token(STRANGER, &[("authorization", "Bearer wrong")], Err(403))]
#[case::wrong_token_here(LOOPBACK, &[("authorization", "Bearer wrong")], Ok(()))]
fn operators_and_this_machine_get_explanations(
    #[case] peer: &str,
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: Result<(), u16>,
) {
    let result = sender(peer, headers).may_explain();

    assert_eq!(
        result.map_err(|problem| problem.status().as_u16()),
        expected
    );
}

fn sender(peer: &str, headers: &[(&'static str, &str)]) -> Sender {
    let loopback: Vec<Network> = ["127.0.0.0/8", "::1"]
        .map(|text| text.parse().unwrap())
        .into();
    let callers = Callers::new(Rules {
        proxies: TrustedProxies::new(loopback),
        operators: Some(Reloaded::fixed(Tokens::parse("secret").unwrap())),
        geoip: GeoIp::off(),
        public_explain: false,
    });
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Sender::new(callers, ip(peer), &map)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
