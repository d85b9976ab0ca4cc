//! Addresses that a stranger must not make a service connect to.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(feature = "server")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "server")]
use std::task::{Context, Poll};
use std::vec;

#[cfg(feature = "server")]
use hyper_util::client::legacy::connect::dns;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sinfonia_core::network::{Network, canonical};
use url::{Host, Url};

/// Addresses at which clouds tell machines about themselves, credentials included, beyond the link-local 169.254.169.254: Alibaba's,
/// Azure's, and over IPv6 Amazon's and Google's.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

type Addresses = vec::IntoIter<SocketAddr>;
type BoxError = Box<dyn Error + Send + Sync>;

/// An address that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to {address}, a {kind} address, which has to be allowed first")]
pub struct RefusedAddress {
    /// The host that was asked for.
    pub host: String,
    /// The address.
    pub address: IpAddr,
    /// What kind of address it is.
    pub kind: &'static str,
}

/// Refuses loopback, link-local, unspecified, multicast and metadata addresses, IPv4 ones also where they are embedded in IPv6 (mapped,
/// compatible, translated, NAT64, 6to4, Teredo), unless they are allowed.
///
/// As a resolver it guards host names when a connection is made. Clients ask no resolver about hosts that are addresses:
/// [`OutboundGuard::check_url`] guards those and has to be asked before each request.
#[derive(Debug, Clone, Default)]
pub struct OutboundGuard {
    allowed: Arc<[Network]>,
}

impl OutboundGuard {
    /// Refuses what is not in one of these networks.
    pub fn new(allowed: impl Into<Arc<[Network]>>) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// Checks the host of a URL where it is an address.
    ///
    /// # Errors
    /// The address is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), RefusedAddress> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.check(url.host_str().unwrap_or_default(), address)
    }

    /// Checks an address that a host leads to.
    ///
    /// # Errors
    /// The address is refused.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), RefusedAddress> {
        let address = canonical(address);
        let reached = [Some(address), embedded(address).map(IpAddr::V4)];
        for reached in reached.into_iter().flatten() {
            if let Some(kind) = kind(reached)
                && !self
                    .allowed
                    .iter()
                    .any(|network| network.contains(reached) || network.contains(address))
            {
                return Err(RefusedAddress {
                    host: host.to_owned(),
                    address,
                    kind,
                });
            }
        }
        Ok(())
    }
}

impl Resolve for OutboundGuard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = resolved(name.as_str(), Some(&guard)).await?;
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// What resolves the names of hosts for [`crate::client::pooled`], guarded or not.
#[cfg(feature = "server")]
#[derive(Debug, Clone)]
pub(crate) struct Resolver(Option<OutboundGuard>);

#[cfg(feature = "server")]
impl Resolver {
    pub(crate) const fn new(guard: Option<OutboundGuard>) -> Self {
        Self(guard)
    }
}

#[cfg(feature = "server")]
impl tower::Service<dns::Name> for Resolver {
    type Response = Addresses;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move { resolved(name.as_str(), guard.as_ref()).await })
    }
}

async fn resolved(name: &str, guard: Option<&OutboundGuard>) -> Result<Addresses, BoxError> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
    if let Some(guard) = guard {
        // One bad address refuses the name: whoever answers with a mixture is up to no good.
        for address in &addresses {
            guard.check(name, address.ip())?;
        }
    }
    Ok(addresses.into_iter())
}

fn kind(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("metadata");
    }
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_link_local() => Some("link-local"),
        _ if address.is_multicast() => Some("multicast"),
        _ if address.is_broadcast() => Some("broadcast"),
        _ if address.octets()[0] == 0 => Some("unspecified"),
        _ => None,
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_unicast_link_local() => Some("link-local"),
        _ if address.is_multicast() => Some("multicast"),
        _ if address.is_unspecified() => Some("unspecified"),
        _ => None,
    }
}

/// The IPv4 address that a translator or tunnel takes out of an IPv6 address.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let from = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // The unspecified and the loopback address look like compatible ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible (RFC 4291 §2.5.5.1) and IPv4-translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(from(high, low)),
        // NAT64 with the well-known (RFC 6052 §2.1) and the local prefix (RFC 8215).
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(from(high, low)),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => Some(from(high, low)),
        // Teredo (RFC 4380 §4), which inverts the bits.
        [0x2001, 0, _, _, _, _, high, low] => Some(from(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::loopback("127.0.0.1", "loopback")]
    #[case::all_of_loopback("127.9.9.9", "loopback")]
    #[case::link_local("169.254.1.1", "link-local")]
    #[case::metadata("169.254.169.254", "link-local")]
    #[case::unspecified("0.0.0.0", "unspecified")]
    #[case::this_network("0.1.2.3", "unspecified")]
    #[case::multicast("224.0.0.1", "multicast")]
    #[case::broadcast("255.255.255.255", "broadcast")]
    #[case::metadata_of_alibaba("100.100.100.200", "metadata")]
    #[case::loopback_v6("::1", "loopback")]
    #[case::unspecified_v6("::", "unspecified")]
    #[case::link_local_v6("fe80::1", "link-local")]
    #[case::multicast_v6("ff02::1", "multicast")]
    #[case::metadata_v6("fd00:ec2::254", "metadata")]
    #[case::mapped("::ffff:127.0.0.1", "loopback")]
    #[case::compatible("::169.254.169.254", "link-local")]
    #[case::translated("::ffff:0:127.0.0.1", "loopback")]
    #[case::nat64("64:ff9b::169.254.169.254", "link-local")]
    #[case::local_nat64("64:ff9b:1::127.0.0.1", "loopback")]
    #[case::six_to_four("2002:7f00:1::1", "loopback")]
    #[case::teredo("2001:0:102:304:0:0:80ff:fffe", "loopback")]
    fn an_address_that_leads_inside_is_refused(#[case] address: &str, #[case] kind: &str) {
        let address: IpAddr = address.parse().unwrap();

        let refused = OutboundGuard::default()
            .check("cloudlet.example", address)
            .unwrap_err();

        assert_eq!(
            (refused.host.as_str(), refused.address, refused.kind),
            ("cloudlet.example", canonical(address), kind)
        );
    }

    #[rstest]
    #[case("8.8.8.8")]
    #[case("10.0.0.1")]
    #[case("2001:db8::1")]
    #[case("fd00::1")]
    #[case("64:ff9b::8.8.8.8")]
    #[case("2002:808:808::1")]
    fn an_ordinary_address_passes(#[case] address: &str) {
        assert_eq!(
            OutboundGuard::default().check("cloudlet.example", address.parse().unwrap()),
            Ok(())
        );
    }

    #[rstest]
    #[case("127.0.0.1", true)]
    #[case("::ffff:127.0.0.1", true)]
    #[case("64:ff9b::127.0.0.1", true)]
    #[case("169.254.169.254", false)]
    fn what_is_allowed_passes(#[case] address: &str, #[case] passes: bool) {
        let guard = OutboundGuard::new(["127.0.0.0/8".parse().unwrap()]);

        assert_eq!(
            guard
                .check("cloudlet.example", address.parse().unwrap())
                .is_ok(),
            passes
        );
    }

    #[rstest]
    #[case::decimal("http://2130706433/", false)]
    #[case::hexadecimal("http://0x7f.1/", false)]
    #[case::octal("http://0177.0.0.1/", false)]
    #[case::brackets("http://[::ffff:7f00:1]/", false)]
    #[case::ordinary("http://192.0.2.1/", true)]
    #[case::names_are_the_resolvers("http://localhost/", true)]
    fn a_host_that_is_an_address_is_checked_in_every_spelling(
        #[case] url: &str,
        #[case] passes: bool,
    ) {
        let url = Url::parse(url).unwrap();

        assert_eq!(OutboundGuard::default().check_url(&url).is_ok(), passes);
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused() {
        let error = OutboundGuard::default()
            .resolve("localhost".parse().unwrap())
            .await
            .err()
            .unwrap();

        assert!(error.is::<RefusedAddress>(), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_what_is_allowed_passes() {
        let guard = OutboundGuard::new(["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);

        let addresses = guard.resolve("localhost".parse().unwrap()).await.unwrap();

        assert!(addresses.count() > 0);
    }
}
