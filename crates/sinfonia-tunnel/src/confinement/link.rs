//! The device of a confinement, from outside.

use std::io;
use std::os::fd::OwnedFd;

use sinfonia_core::tunnel::Interface;

use super::netlink::{Family, Request};
use super::network::{Mtu, Network};
use super::tun;

/// The loopback device's number in every network namespace.
const LOOPBACK: u32 = 1;

/// Why the network of a confinement is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The device is gone.
    #[error("cannot find the device {}", tun::NAME)]
    Find(#[source] io::Error),
    /// A device cannot be taken into service.
    #[error("cannot take a device into service")]
    Up(#[source] io::Error),
    /// Packets cannot have this length.
    #[error("cannot set the MTU to {mtu}")]
    Mtu {
        /// What was asked for.
        mtu: Mtu,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The device cannot have an address, or cannot lose it.
    #[error("cannot change the address {address}")]
    Address {
        /// The address.
        address: Interface,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The default route cannot be set or removed.
    #[error("cannot change the default route")]
    Route(#[source] io::Error),
}

/// Settles the devices of one network namespace, also from outside of it: the socket was opened inside.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    device: u32,
    addresses: Vec<Interface>,
}

impl Link {
    /// Takes devices into service that were just made.
    pub(super) fn new(socket: OwnedFd) -> Result<Self, LinkError> {
        let device = rustix::net::netdevice::name_to_index(&socket, tun::NAME)
            .map_err(|error| LinkError::Find(error.into()))?;
        // Fails where the kernel has no IPv6, where there is no such address either.
        let _ = Request::no_link_local_address(device).send(&socket);
        for device in [LOOPBACK, device] {
            Request::up(device).send(&socket).map_err(LinkError::Up)?;
        }
        Ok(Self {
            socket,
            device,
            addresses: Vec::new(),
        })
    }

    /// Makes the device as `network` has it, whatever it was like before.
    pub(super) fn apply(&mut self, network: &Network) -> Result<(), LinkError> {
        let mtu = network.mtu;
        Request::mtu(self.device, mtu.bytes())
            .send(&self.socket)
            .map_err(|source| LinkError::Mtu { mtu, source })?;
        for change in plan(&self.addresses, &network.addresses) {
            self.change(change)?;
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), LinkError> {
        let device = self.device;
        let request = match change {
            Change::Add(address) => Request::add_address(device, address),
            Change::Remove(address) => Request::remove_address(device, address),
            Change::Route(family) => Request::add_default_route(device, family),
            Change::Unroute(family) => Request::remove_default_route(device, family),
        };
        request
            .send(&self.socket)
            .map_err(|source| change.error(source))?;
        match change {
            Change::Add(address) => self.addresses.push(address),
            Change::Remove(address) => self.addresses.retain(|present| *present != address),
            Change::Route(_) | Change::Unroute(_) => {}
        }
        Ok(())
    }
}

/// A step from some addresses to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add(Interface),
    Remove(Interface),
    Route(Family),
    Unroute(Family),
}

impl Change {
    fn error(self, source: io::Error) -> LinkError {
        match self {
            Self::Add(address) | Self::Remove(address) => LinkError::Address { address, source },
            Self::Route(_) | Self::Unroute(_) => LinkError::Route(source),
        }
    }
}

/// Adds before it removes, because the kernel drops every route of a device that loses its last address.
fn plan(present: &[Interface], wanted: &[Interface]) -> Vec<Change> {
    let mut changes = Vec::new();
    let (has, wants) = (families(present), families(wanted));
    changes.extend(missing(wanted, present).map(Change::Add));
    changes.extend(
        wants
            .iter()
            .filter(|family| !has.contains(family))
            .map(|family| Change::Route(*family)),
    );
    changes.extend(
        has.iter()
            .filter(|family| !wants.contains(family))
            .map(|family| Change::Unroute(*family)),
    );
    changes.extend(missing(present, wanted).map(Change::Remove));
    changes
}

fn missing(from: &[Interface], other: &[Interface]) -> impl Iterator<Item = Interface> {
    from.iter()
        .filter(|address| !other.contains(address))
        .copied()
}

fn families(addresses: &[Interface]) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for address in addresses {
        let family = Family::of(address.address());
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing_to_do(&["10.5.17.4"], &["10.5.17.4"], &[])]
    #[case::at_first(&[], &["10.5.17.4"], &["+10.5.17.4", "route V4"])]
    #[case::both_families(&[], &["10.5.17.4", "fd00::4"], &["+10.5.17.4", "+fd00::4", "route V4", "route V6"])]
    #[case::another_address(&["10.5.17.4"], &["10.6.1.9"], &["+10.6.1.9", "-10.5.17.4"])]
    #[case::another_family(&["10.5.17.4"], &["fd00::4"], &["+fd00::4", "route V6", "unroute V4", "-10.5.17.4"])]
    fn new_addresses_come_before_old_ones_go(
        #[case] present: &[&str],
        #[case] wanted: &[&str],
        #[case] expected: &[&str],
    ) {
        let plan = plan(&addresses(present), &addresses(wanted));

        assert_eq!(plan.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    fn addresses(texts: &[&str]) -> Vec<Interface> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(change: &Change) -> String {
        match change {
            Change::Add(address) => format!("+{address}"),
            Change::Remove(address) => format!("-{address}"),
            Change::Route(family) => format!("route {family:?}"),
            Change::Unroute(family) => format!("unroute {family:?}"),
        }
    }
}
