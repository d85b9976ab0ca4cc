//! Moving the tunnel to another cloudlet.

use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_tunnel::driver::TunnelError;
use tokio::task::AbortHandle;

use super::Rounds;
use crate::events::Event;
use crate::keeper::work::{self, SearchError};
use crate::watch::Action;

/// Time in which another cloudlet has to answer the first handshake.
const GREETING: Duration = Duration::from_secs(10);

/// How far the search for another cloudlet is.
pub(super) enum Search {
    Idle,
    /// Tier 1 is asked.
    Asking(AbortHandle),
    /// There is another deployment, whose end of the tunnel is to answer by this time.
    Greeting(Box<CloudletDeployment>, SocketAddr, Duration),
}

impl Rounds {
    pub(super) fn act(&mut self, action: Action) -> Result<(), TunnelError> {
        let cloudlet = self.kept.holdings.cloudlet();
        match action {
            Action::TellSilence => self.kept.audience.hear(&Event::Silent { cloudlet }),
            Action::Resolve => work::look_up(self.kept.uplink.config(), self.news.0.clone()),
            Action::FailOver => {
                self.kept.audience.hear(&Event::FailingOver { cloudlet });
                let exclude = self.kept.holdings.identity().into_iter();
                let exclude = exclude.chain(self.unreachable.iter().copied()).collect();
                let asking = self.kept.asking.clone();
                self.search = Search::Asking(work::search(asking, exclude, self.news.0.clone()));
            }
            Action::Recovered => {
                self.stop_search()?;
                self.kept.audience.hear(&Event::Recovered);
            }
        }
        Ok(())
    }

    /// Stays where the tunnel is; what was deployed elsewhere is given back at the end.
    pub(super) fn stop_search(&mut self) -> Result<(), TunnelError> {
        match std::mem::replace(&mut self.search, Search::Idle) {
            Search::Idle => {}
            Search::Asking(task) => {
                task.abort();
                self.kept.holdings.give_up_request();
            }
            Search::Greeting(other, ..) => {
                self.kept.holdings.leave(&other);
                self.kept.uplink.forget(&other.tunnel_config.public_key)?;
            }
        }
        self.unreachable.clear();
        Ok(())
    }

    pub(super) fn greet(
        &mut self,
        other: Box<CloudletDeployment>,
        endpoint: SocketAddr,
        now: Duration,
    ) -> Result<(), TunnelError> {
        // The cloudlet that was silent may have come back meanwhile.
        if !matches!(self.search, Search::Asking(_)) {
            self.kept.holdings.leave(&other);
            return Ok(());
        }
        self.kept.uplink.greet(&other.tunnel_config, endpoint)?;
        self.search = Search::Greeting(other, endpoint, now + GREETING);
        Ok(())
    }

    pub(super) fn follow_greeting(&mut self, now: Duration) -> Result<(), TunnelError> {
        let Search::Greeting(other, endpoint, until) = &self.search else {
            return Ok(());
        };
        let (key, endpoint) = (other.tunnel_config.public_key, *endpoint);
        if self.kept.uplink.has_answered(&key)? {
            if let Search::Greeting(other, ..) = std::mem::replace(&mut self.search, Search::Idle) {
                self.try_to_move(*other, endpoint, now)?;
            }
        } else if now >= *until {
            self.unreachable
                .extend(other.cloudlet.as_ref().map(|cloudlet| cloudlet.uuid));
            self.kept.holdings.leave(other);
            self.kept.uplink.forget(&key)?;
            self.found_nobody(&SearchError::NoAnswer(endpoint), now);
        }
        Ok(())
    }

    fn try_to_move(
        &mut self,
        other: CloudletDeployment,
        endpoint: SocketAddr,
        now: Duration,
    ) -> Result<(), TunnelError> {
        let key = other.tunnel_config.public_key;
        match self.kept.uplink.move_to(&other.tunnel_config, endpoint) {
            Ok(()) => self.moved(other, now),
            Err(error) => {
                self.kept.holdings.leave(&other);
                self.kept.uplink.forget(&key)?;
                self.found_nobody(&SearchError::Move(Box::new(error)), now);
            }
        }
        Ok(())
    }

    fn moved(&mut self, other: CloudletDeployment, now: Duration) {
        self.kept.holdings.move_to(other);
        self.kept.watch.moved();
        self.unreachable.clear();
        self.plan_renewal(now);
        self.kept.audience.hear(&Event::FailedOver {
            cloudlet: self.kept.holdings.cloudlet(),
            deployment: self.kept.holdings.in_use(),
        });
    }

    pub(super) fn found_nobody(&mut self, error: &SearchError, now: Duration) {
        self.search = Search::Idle;
        self.kept.watch.found_nobody(now);
        let reason = error.to_string();
        self.kept.audience.hear(&Event::NotFailedOver { reason });
    }

    pub(super) fn redirect(
        &self,
        addresses: &[SocketAddr],
        now: Duration,
    ) -> Result<(), TunnelError> {
        let present = self.kept.uplink.traffic()?.peer.endpoint;
        let is_known = present.is_some_and(|present| addresses.contains(&present));
        let Some(endpoint) = addresses.first().copied().filter(|_| !is_known) else {
            return Ok(());
        };
        if self.kept.watch.silent_for(now).is_some() {
            self.kept.uplink.redirect(endpoint)?;
            self.kept
                .audience
                .hear(&Event::EndpointChanged { endpoint });
        }
        Ok(())
    }
}
