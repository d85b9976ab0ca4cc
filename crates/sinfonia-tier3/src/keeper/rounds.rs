//! Looking after a tunnel, a few times a second.

mod moving;

use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::deployment::CloudletDeployment;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use self::moving::Search;
use super::lease;
use super::work::{self, News};
use super::{Kept, Traffic, Uplink};
use crate::display::Display;
use crate::events::{self, Event};
use crate::status::{Health, Status};
use crate::tier1::AskError;

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(250);

/// Time between two pictures of the state.
const SHOW: Duration = Duration::from_secs(1);

/// Time between two events that tell the traffic.
const STATISTICS: Duration = Duration::from_secs(10);

/// What is kept, and what goes on with it. Times are since the beginning.
pub(super) struct Rounds<U: Uplink> {
    kept: Kept<U>,
    display: Display,
    begun: Instant,
    search: Search<U::Greeting>,
    /// Cloudlets that turned out not to answer since this one fell silent.
    unreachable: Vec<Uuid>,
    renew_at: Duration,
    show_at: Duration,
    statistics_at: Duration,
    news: (UnboundedSender<News>, UnboundedReceiver<News>),
}

impl<U: Uplink> Rounds<U> {
    pub(super) fn new(kept: Kept<U>, display: Display) -> Self {
        let mut rounds = Self {
            kept,
            display,
            begun: Instant::now(),
            search: Search::Idle,
            unreachable: Vec::new(),
            renew_at: Duration::ZERO,
            show_at: Duration::ZERO,
            statistics_at: STATISTICS,
            news: mpsc::unbounded_channel(),
        };
        rounds.plan_renewal(Duration::ZERO);
        rounds
    }

    /// Keeps until it is told to stop, or whoever would tell is gone.
    pub(super) async fn until(mut self, stopped: oneshot::Receiver<()>) -> Kept<U> {
        self.keep(stopped).await;
        if let Err(error) = self.stop_search().await {
            tracing::debug!(%error, "the tunnel is gone already");
        }
        self.tell_statistics().await;
        self.kept
    }

    async fn keep(&mut self, mut stopped: oneshot::Receiver<()>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                // What has begun comes to its end, so that nothing is in nobody's hands.
                _ = &mut stopped => return,
                _ = rounds.tick() => self.round(self.begun.elapsed()).await,
                Some(news) = self.news.1.recv() => self.take(news, self.begun.elapsed()).await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the tunnel cannot be looked after");
            }
        }
    }

    async fn round(&mut self, now: Duration) -> Result<(), U::Error> {
        if now >= self.renew_at {
            self.plan_renewal(now);
            let cloudlet = self.kept.holdings.identity();
            work::renew(self.kept.asking.clone(), cloudlet, self.news.0.clone());
        }
        let traffic = self.kept.uplink.traffic().await?;
        if let Some(action) = self.kept.watch.observe(now, traffic.silence) {
            self.act(action).await?;
        }
        self.follow_greeting(now).await?;
        if now >= self.show_at {
            self.show_at = now + SHOW;
            self.display.show(&self.status(now, &traffic));
        }
        if now >= self.statistics_at {
            self.statistics_at = now + STATISTICS;
            self.tell_statistics().await;
        }
        Ok(())
    }

    fn plan_renewal(&mut self, now: Duration) {
        self.renew_at = now + lease::renewal(self.lease());
    }

    /// What is left of the lease, where that is known.
    fn lease(&self) -> Option<Duration> {
        let expires = self.kept.holdings.in_use().expires?;
        expires.duration_since(Timestamp::now()).try_into().ok()
    }

    async fn take(&mut self, news: News, now: Duration) -> Result<(), U::Error> {
        match news {
            News::Found(Ok((other, endpoint))) => self.greet(other, endpoint, now).await?,
            News::Found(Err(error)) => self.found_nobody(&error, now),
            News::Renewed(answer) => {
                self.renewed(answer);
                self.plan_renewal(now);
            }
            News::Resolved(Ok(addresses)) => self.redirect(&addresses, now).await?,
            News::Resolved(Err(error)) => tracing::debug!(%error, "the name leads nowhere"),
        }
        Ok(())
    }

    fn renewed(&mut self, answer: Result<Vec<CloudletDeployment>, AskError>) {
        let told = match answer.map(|told| told.into_iter().next()) {
            Ok(told) => told,
            Err(error) => {
                // The lease outlasts two failures; the tunnel does not need Tier 1.
                tracing::warn!(%error, "lease not extended, another try follows");
                let reason = error.to_string();
                self.kept.audience.hear(&Event::NotRenewed { reason });
                return;
            }
        };
        let Some(told) = told else { return };
        let identity = told.cloudlet.as_ref().map(|cloudlet| cloudlet.uuid);
        if identity != self.kept.holdings.identity() {
            // The tunnel moved meanwhile, or this Tier 1 does not do as it is asked.
            self.kept.holdings.leave(&told);
            return;
        }
        let expires = told.expires;
        self.kept.audience.hear(&Event::Renewed { expires });
        self.follow_renewal(told);
    }

    /// A lease that had ended brings a new deployment, which the tunnel has to follow.
    fn follow_renewal(&mut self, told: CloudletDeployment) {
        let is_other = told.tunnel_config != *self.kept.uplink.config();
        // An older server may place somewhere else, and does not say so.
        let is_followed = is_other && told.is_ready() && told.cloudlet.is_some();
        if is_followed && matches!(self.search, Search::Idle) {
            self.search = Search::Asking(work::locate(told, self.news.0.clone()));
        } else {
            self.kept.holdings.update(told);
        }
    }

    fn status(&self, now: Duration, traffic: &Traffic) -> Status {
        let health = match (self.kept.watch.silent_for(now), &self.search) {
            (None, _) => Health::Answers(traffic.round_trip),
            (Some(time), Search::Idle) => Health::Silent(time),
            (Some(time), _) => Health::Searching(time),
        };
        Status {
            cloudlet: events::name(self.kept.holdings.cloudlet()),
            health,
            sent_bytes: traffic.sent_bytes,
            received_bytes: traffic.received_bytes,
            lease: self.lease(),
        }
    }

    async fn tell_statistics(&self) {
        if let Ok(traffic) = self.kept.uplink.traffic().await {
            self.kept.audience.hear(&Event::Statistics {
                sent_bytes: traffic.sent_bytes,
                received_bytes: traffic.received_bytes,
                round_trip: traffic.round_trip.into(),
            });
        }
    }
}
