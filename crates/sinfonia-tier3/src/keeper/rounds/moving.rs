//! Moving the tunnel to another cloudlet.

use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_core::deployment::CloudletDeployment;
use tokio::task::AbortHandle;

use super::Rounds;
use crate::events::Event;
use crate::keeper::Uplink;
use crate::keeper::work::{self, SearchError};
use crate::watch::Action;

/// Time in which another cloudlet has to answer the first handshake.
const GREETING: Duration = Duration::from_secs(10);

/// How far the search for another cloudlet is.
pub(super) enum Search<G> {
    Idle,
    /// Tier 1 is asked.
    Asking(AbortHandle),
    /// There is another deployment.
    Greeting(Greeted<G>),
}

/// A deployment whose end of the tunnel is asked whether it answers.
pub(super) struct Greeted<G> {
    deployment: Box<CloudletDeployment>,
    endpoint: SocketAddr,
    greeting: G,
    /// When it is waited for no longer.
    until: Duration,
}

impl<U: Uplink> Rounds<U> {
    pub(super) async fn act(&mut self, action: Action) -> Result<(), U::Error> {
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
                self.stop_search().await?;
                self.kept.audience.hear(&Event::Recovered);
            }
        }
        Ok(())
    }

    /// Stays where the tunnel is; what was deployed elsewhere is given back at the end.
    pub(super) async fn stop_search(&mut self) -> Result<(), U::Error> {
        match std::mem::replace(&mut self.search, Search::Idle) {
            Search::Idle => {}
            Search::Asking(task) => {
                task.abort();
                self.kept.holdings.give_up_request();
            }
            Search::Greeting(other) => {
                self.kept.holdings.leave(&other.deployment);
                self.kept.uplink.forget(other.greeting).await?;
            }
        }
        self.unreachable.clear();
        Ok(())
    }

    pub(super) async fn greet(
        &mut self,
        other: Box<CloudletDeployment>,
        endpoint: SocketAddr,
        now: Duration,
    ) -> Result<(), U::Error> {
        // The cloudlet that was silent may have come back meanwhile.
        if !matches!(self.search, Search::Asking(_)) {
            self.kept.holdings.leave(&other);
            return Ok(());
        }
        match self.kept.uplink.greet(&other.tunnel_config, endpoint).await {
            Ok(greeting) => {
                self.search = Search::Greeting(Greeted {
                    deployment: other,
                    endpoint,
                    greeting,
                    until: now + GREETING,
                });
            }
            Err(error) => {
                self.kept.holdings.leave(&other);
                self.found_nobody(&SearchError::Move(Box::new(error)), now);
            }
        }
        Ok(())
    }

    pub(super) async fn follow_greeting(&mut self, now: Duration) -> Result<(), U::Error> {
        let Search::Greeting(other) = &self.search else {
            return Ok(());
        };
        let answered = self.kept.uplink.has_answered(&other.greeting).await?;
        if !answered && now < other.until {
            return Ok(());
        }
        if let Search::Greeting(other) = std::mem::replace(&mut self.search, Search::Idle) {
            if answered {
                self.try_to_move(other, now).await;
            } else {
                self.pass_over(other, now).await?;
            }
        }
        Ok(())
    }

    async fn try_to_move(&mut self, other: Greeted<U::Greeting>, now: Duration) {
        match self.kept.uplink.move_to(other.greeting).await {
            Ok(()) => self.moved(*other.deployment, now),
            Err(error) => {
                self.kept.holdings.leave(&other.deployment);
                self.found_nobody(&SearchError::Move(Box::new(error)), now);
            }
        }
    }

    async fn pass_over(
        &mut self,
        other: Greeted<U::Greeting>,
        now: Duration,
    ) -> Result<(), U::Error> {
        let cloudlet = other.deployment.cloudlet.as_ref();
        self.unreachable
            .extend(cloudlet.map(|cloudlet| cloudlet.uuid));
        self.kept.holdings.leave(&other.deployment);
        self.found_nobody(&SearchError::NoAnswer(other.endpoint), now);
        self.kept.uplink.forget(other.greeting).await
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

    pub(super) async fn redirect(
        &self,
        addresses: &[SocketAddr],
        now: Duration,
    ) -> Result<(), U::Error> {
        let present = self.kept.uplink.traffic().await?.endpoint;
        let is_known = present.is_some_and(|present| addresses.contains(&present));
        let mut reachable = addresses
            .iter()
            .filter(|address| self.kept.uplink.reaches(**address));
        let Some(endpoint) = reachable.next().copied().filter(|_| !is_known) else {
            return Ok(());
        };
        if self.kept.watch.silent_for(now).is_some() {
            self.kept.uplink.redirect(endpoint).await?;
            self.kept
                .audience
                .hear(&Event::EndpointChanged { endpoint });
        }
        Ok(())
    }
}
