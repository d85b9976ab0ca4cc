//! How often one client may ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sinfonia_core::network::canonical;

/// Checks between two clean-ups, which forget clients that have their whole allowance again.
const CHECKS_PER_CLEANUP: u64 = 4096;

/// Most clients remembered after a clean-up. Beyond it all are forgotten and start anew: memory stays bounded (some MiB), and whoever
/// commands this many addresses has this many allowances anyway.
const MOST_CLIENTS: usize = 65_536;

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, because a site has at least that many to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    Site([u16; 4]),
}

/// Limits how often each client may ask.
#[derive(Debug)]
pub struct ClientLimiter {
    quota: Quota,
    clients: ArcSwap<DefaultKeyedRateLimiter<ClientKey>>,
    checks: AtomicU64,
}

impl ClientKey {
    /// The client that an address belongs to; an IPv4-mapped one counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(address) => Self::Address(address),
            IpAddr::V6(address) => Self::Site(site(address)),
        }
    }
}

impl ClientLimiter {
    /// Each client may ask this often per minute, all at once or spread.
    pub fn per_minute(requests: NonZeroU32) -> Self {
        let quota = Quota::per_minute(requests);
        Self {
            quota,
            clients: ArcSwap::from_pointee(RateLimiter::keyed(quota)),
            checks: AtomicU64::new(0),
        }
    }

    /// Counts a request of this client.
    ///
    /// # Errors
    /// The client asks too often; the error is the number of seconds, at least 1, after which it may ask again.
    pub fn check(&self, client: IpAddr) -> Result<(), u64> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_CLEANUP
            == CHECKS_PER_CLEANUP - 1
        {
            self.clean_up();
        }
        let clients = self.clients.load();
        clients.check_key(&ClientKey::of(client)).map_err(|wait| {
            let wait = wait.wait_time_from(DefaultClock::default().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
        })
    }

    fn clean_up(&self) {
        let clients = self.clients.load();
        clients.retain_recent();
        clients.shrink_to_fit();
        if clients.len() > MOST_CLIENTS {
            tracing::info!(
                clients = clients.len(),
                "too many clients to remember, rate limits start anew"
            );
            self.clients.store(RateLimiter::keyed(self.quota).into());
        }
    }
}

fn site(address: Ipv6Addr) -> [u16; 4] {
    let [first, second, third, fourth, ..] = address.segments();
    [first, second, third, fourth]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_client_that_asks_too_often_is_told_when_to_come_back() {
        let limiter = ClientLimiter::per_minute(NonZeroU32::new(2).unwrap());
        let client = ip("192.0.2.1");

        let answers = [
            limiter.check(client),
            limiter.check(client),
            limiter.check(client),
        ];

        assert_eq!(answers[..2], [Ok(()), Ok(())]);
        assert!(matches!(answers[2], Err(1..=30)), "{answers:?}");
    }

    #[test]
    fn one_client_does_not_use_up_what_another_may() {
        let limiter = ClientLimiter::per_minute(NonZeroU32::MIN);

        assert_eq!(limiter.check(ip("192.0.2.1")), Ok(()));
        assert_eq!(limiter.check(ip("192.0.2.2")), Ok(()));
        assert!(limiter.check(ip("192.0.2.1")).is_err());
    }

    #[rstest]
    #[case::one_site("2001:db8::1", "2001:db8::ffff:1", true)]
    #[case::two_sites("2001:db8:0:1::1", "2001:db8:0:2::1", false)]
    #[case::two_addresses("192.0.2.1", "192.0.2.2", false)]
    #[case::mapped("192.0.2.1", "::ffff:192.0.2.1", true)]
    fn a_client_is_an_ipv4_address_or_an_ipv6_site(
        #[case] one: &str,
        #[case] other: &str,
        #[case] same: bool,
    ) {
        assert_eq!(ClientKey::of(ip(one)) == ClientKey::of(ip(other)), same);
    }

    #[test]
    fn memory_is_bounded_however_many_clients_ask() {
        let limiter = ClientLimiter::per_minute(NonZeroU32::MIN);

        for number in 0..200_000 {
            assert_eq!(
                limiter.check(IpAddr::V4(Ipv4Addr::from_bits(number))),
                Ok(())
            );
        }

        let most = MOST_CLIENTS + usize::try_from(CHECKS_PER_CLEANUP).unwrap();
        assert!(limiter.clients.load().len() <= most);
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
