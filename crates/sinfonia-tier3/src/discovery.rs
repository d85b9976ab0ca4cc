//! Finding a cloudlet on the local network, without a Tier 1.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use sinfonia_core::discovery::{PATH_PROPERTY, SERVICE_TYPE};

use crate::tier1_url::Tier1Url;

/// Time that a cloudlet has to answer; on a network that loses the first question, the second one comes after a second, the third
/// after three.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that the search has to end, and with it its thread.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no cloudlet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    /// The system gives no sockets for mDNS.
    #[error("the local network cannot be asked for cloudlets")]
    Multicast(#[from] mdns_sd::Error),
    /// Nobody answered.
    #[error("no cloudlet has answered on the local network within {} s", PATIENCE.as_secs())]
    Nobody,
}

/// The first cloudlet that answers on the local network.
///
/// # Errors
/// None does, or the system gives no sockets.
pub(crate) fn find() -> Result<Tier1Url, DiscoveryError> {
    let daemon = ServiceDaemon::new()?;
    let found = first(&daemon);
    if let Ok(ended) = daemon.shutdown() {
        // An application may be started next, and wants no thread beside it.
        let _ = ended.recv_timeout(FAREWELL);
    }
    found
}

fn first(daemon: &ServiceDaemon) -> Result<Tier1Url, DiscoveryError> {
    // A network that was just joined has to count within the time there is.
    daemon.set_ip_check_interval(1)?;
    let events = daemon.browse(SERVICE_TYPE)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                if let Some(url) = url_of(&service) {
                    return Ok(url);
                }
                tracing::debug!(?service, "a cloudlet without an address of use");
            }
            Ok(event) => tracing::debug!(?event, "heard on the local network"),
            Err(_) => return Err(DiscoveryError::Nobody),
        }
    }
}

fn url_of(service: &ResolvedService) -> Option<Tier1Url> {
    let addresses = service.get_addresses().iter();
    let path = service.get_property_val_str(PATH_PROPERTY);
    url(
        addresses.map(mdns_sd::ScopedIp::to_ip_addr),
        service.get_port(),
        path.unwrap_or_default(),
    )
}

/// Where a service is: IPv4 first, because more programs can do with it; never this machine, never more than one host, and never an
/// address that only means something together with an interface. Whoever is on the network may have said it.
fn url(addresses: impl Iterator<Item = IpAddr>, port: u16, path: &str) -> Option<Tier1Url> {
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast())
        }
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some())
        }
    };
    let address = addresses.filter(usable).min()?;
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let path = path.trim_matches('/');
    let url: Tier1Url = format!("http://{host}:{port}/{path}").parse().ok()?;
    Some(url.of_a_cloudlet())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ipv4(&["192.0.2.7"], "/", Some("http://192.0.2.7:5000"))]
    #[case::ipv6(&["2001:db8::7"], "/", Some("http://[2001:db8::7]:5000"))]
    #[case::ipv4_first(&["2001:db8::7", "192.0.2.7"], "/", Some("http://192.0.2.7:5000"))]
    #[case::a_path(&["192.0.2.7"], "/edge/", Some("http://192.0.2.7:5000/edge"))]
    #[case::no_path(&["192.0.2.7"], "", Some("http://192.0.2.7:5000"))]
    #[case::link_local_alone(&["fe80::7"], "/", None)]
    #[case::this_machine(&["127.0.0.1", "::1", "::ffff:127.0.0.1"], "/", None)]
    #[case::metadata_of_a_cloud(&["169.254.169.254"], "/", None)]
    #[case::many_hosts(&["224.0.0.251", "255.255.255.255", "ff02::fb"], "/", None)]
    #[case::no_address(&[], "/", None)]
    #[case::a_path_that_is_no_path(&["192.0.2.7"], "/?a=b", None)]
    fn a_service_is_where_it_says(
        #[case] addresses: &[&str],
        #[case] path: &str,
        #[case] expected: Option<&str>,
    ) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());

        let url = url(addresses, 5000, path);

        assert_eq!(url.map(|url| url.to_string()).as_deref(), expected);
    }
}
