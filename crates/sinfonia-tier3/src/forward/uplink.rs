//! The way from forwarded ports to a cloudlet, which may change while they are used.

use std::net::SocketAddr;
use std::sync::Arc;

use sinfonia_core::key::PrivateKey;
use sinfonia_core::tunnel::TunnelConfig;
use sinfonia_tunnel::userspace::Tunnel;
use tokio::sync::watch;

use super::error::ForwardError;
use super::link::Link;
use super::route::{Route, Routes};
use crate::keeper::{self, Traffic};
use crate::watch::Silence;

/// The link of the moment. Each cloudlet has one of its own, so that the streams to one that is left end, and their programs hear of it.
pub(super) struct Uplink {
    link: Link,
    routes: watch::Sender<Arc<Route>>,
    private_key: PrivateKey,
    mtu: u16,
    /// What went to cloudlets that were left.
    sent_before: u64,
    /// What came from them.
    received_before: u64,
}

impl Uplink {
    /// Leads through this link, and through others with the same key and length of packets later. Gives the routes to follow.
    pub(super) fn new(link: Link, private_key: PrivateKey, mtu: u16) -> (Self, Routes) {
        let (routes, followed) = watch::channel(link.route());
        let uplink = Self {
            link,
            routes,
            private_key,
            mtu,
            sent_before: 0,
            received_before: 0,
        };
        (uplink, Routes::new(followed))
    }
}

impl keeper::Uplink for Uplink {
    type Greeting = Link;
    type Error = ForwardError;

    fn config(&self) -> &TunnelConfig {
        self.link.config()
    }

    async fn traffic(&self) -> Result<Traffic, ForwardError> {
        let peer = self.link.peer().await?;
        let now = Tunnel::now();
        let age = |moment| now.since(moment);
        Ok(Traffic {
            sent_bytes: self.sent_before + peer.sent_bytes,
            received_bytes: self.received_before + peer.received_bytes,
            endpoint: peer.endpoint,
            round_trip: peer.round_trip,
            silence: Silence::of(peer.unanswered_since.map(age), peer.asked_since.map(age)),
        })
    }

    fn reaches(&self, endpoint: SocketAddr) -> bool {
        self.link.reaches(endpoint)
    }

    async fn redirect(&self, endpoint: SocketAddr) -> Result<(), ForwardError> {
        self.link.set_endpoint(endpoint)
    }

    async fn greet(
        &self,
        config: &TunnelConfig,
        endpoint: SocketAddr,
    ) -> Result<Link, ForwardError> {
        Link::begin(&self.private_key, config, endpoint, self.mtu).await
    }

    async fn has_answered(&self, other: &Link) -> Result<bool, ForwardError> {
        let peer = other.peer().await?;
        Ok(peer.last_handshake.is_some() && peer.asked_since.is_none())
    }

    async fn forget(&self, other: Link) -> Result<(), ForwardError> {
        drop(other);
        Ok(())
    }

    async fn move_to(&mut self, other: Link) -> Result<(), ForwardError> {
        // What cannot be counted any more is no reason to stay.
        if let Ok(left) = self.link.peer().await {
            self.sent_before += left.sent_bytes;
            self.received_before += left.received_bytes;
        }
        // First, so that no connection is begun on a way that ends.
        self.routes.send_replace(other.route());
        self.link = other;
        Ok(())
    }
}
