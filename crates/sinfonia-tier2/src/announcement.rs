//! The announcement of this cloudlet on the local network, over mDNS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, Receiver, ServiceDaemon, ServiceInfo, UnregisterStatus};
use sinfonia_core::discovery::{INSTANCE, PATH_PROPERTY, SERVICE_TYPE};

/// Time that the farewell has to be sent.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why the cloudlet cannot be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// Nobody else reaches the address that the service listens on, or not by the address alone.
    #[error("--zeroconf announces this cloudlet to others, who do not reach {0}")]
    Loopback(SocketAddr),
    /// The system has no randomness for a host name.
    #[error("the system has no randomness for a name")]
    Randomness(#[source] getrandom::Error),
    /// The system gives no sockets for mDNS.
    #[error("this cloudlet cannot be announced on the local network (--zeroconf)")]
    Multicast(#[source] mdns_sd::Error),
}

/// A cloudlet that others on the local network find, until this is dropped or withdrawn.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Whether others could reach a service at this address.
    ///
    /// # Errors
    /// They could not.
    pub(crate) fn check(service: SocketAddr) -> Result<(), AnnouncementError> {
        let is_of_one_link = match service.ip() {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if service.ip().is_loopback() || is_of_one_link {
            return Err(AnnouncementError::Loopback(service));
        }
        Ok(())
    }

    /// Announces the service at this address, at all of the machine's where it is none in particular.
    ///
    /// # Errors
    /// The system gives no sockets.
    pub(crate) fn start(service: SocketAddr) -> Result<Self, AnnouncementError> {
        let info = service_info(service)?;
        let name = info.get_fullname().to_owned();
        let daemon = ServiceDaemon::new().map_err(AnnouncementError::Multicast)?;
        let events = daemon.monitor().map_err(AnnouncementError::Multicast)?;
        daemon
            .register(info)
            .map_err(AnnouncementError::Multicast)?;
        tokio::spawn(tell(events));
        Ok(Self { daemon, name })
    }

    /// Tells the network that the service has ended.
    pub(crate) async fn withdraw(self) {
        let farewell = async {
            let status = self.daemon.unregister(&self.name).ok()?;
            let status: UnregisterStatus = status.recv_async().await.ok()?;
            Some(status)
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!("the local network was not told that this cloudlet ends");
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // It can only have ended before.
        let _ = self.daemon.shutdown();
    }
}

fn service_info(service: SocketAddr) -> Result<ServiceInfo, AnnouncementError> {
    let mut unique = [0; 4];
    getrandom::fill(&mut unique).map_err(AnnouncementError::Randomness)?;
    // A name of its own, because the machine's may be announced by somebody else with other addresses.
    let host = format!("sinfonia-{:08x}.local.", u32::from_be_bytes(unique));
    let anywhere = service.ip().is_unspecified();
    let addresses = if anywhere {
        String::new()
    } else {
        service.ip().to_string()
    };
    let properties = [(PATH_PROPERTY, "/")];
    let info = ServiceInfo::new(
        SERVICE_TYPE,
        INSTANCE,
        &host,
        addresses,
        service.port(),
        &properties[..],
    );
    let info = info.map_err(AnnouncementError::Multicast)?;
    Ok(if anywhere {
        info.enable_addr_auto()
    } else {
        info
    })
}

/// Logs what becomes of the announcement.
async fn tell(events: Receiver<DaemonEvent>) {
    while let Ok(event) = events.recv_async().await {
        match event {
            DaemonEvent::Announce(name, interface) => {
                tracing::info!(name, interface, "announced on the local network");
            }
            DaemonEvent::NameChange(change) => {
                tracing::info!(name = change.new_name, "announced under another name");
            }
            DaemonEvent::Error(error) => {
                tracing::warn!(%error, "trouble on the local network (mDNS)");
            }
            _ => {}
        }
    }
}
