//! Who asks: the device behind a request, and the rights that its sender has.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::header::{FORWARDED, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use sinfonia_core::client::{ClientInfo, prefer_wait};
use sinfonia_core::location::Location;
use sinfonia_core::round_trip::{RoundTrips, X_RTT};
use sinfonia_service::problem::Problem;
use sinfonia_service::proxies::{AddressSource, Caller, TrustedProxies, X_FORWARDED_FOR};
use sinfonia_service::reload::Reloaded;
use sinfonia_service::tokens::{Tokens, bearer};

use crate::forward::{PREFER, X_LOCATION};
use crate::geoip::GeoIp;

/// Headers that a proxy adds to what it passes on.
const RELAYED: [HeaderName; 3] = [X_FORWARDED_FOR, FORWARDED, VIA];

/// What tells who asks. Clones share it.
#[derive(Clone)]
pub(crate) struct Callers(Arc<Rules>);

/// What it is told by.
pub(crate) struct Rules {
    /// Whose word about a client's address counts.
    pub(crate) proxies: TrustedProxies,
    /// The tokens of operators, if there are any.
    pub(crate) operators: Option<Reloaded<Tokens>>,
    /// Where addresses are, if a database tells.
    pub(crate) geoip: GeoIp,
    /// Whether everyone may ask why cloudlets are chosen.
    pub(crate) public_explain: bool,
}

/// The sender of a request, and what it says of itself.
pub(crate) struct Sender {
    callers: Callers,
    caller: Caller,
    shows_token: bool,
    is_relayed: bool,
    location: Option<Location>,
    prefer_wait: Option<u64>,
    round_trips: RoundTrips,
}

impl Callers {
    /// Tells who asks by these rules.
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }

    /// Where an address is, if that is known.
    pub(crate) fn locate(&self, address: IpAddr) -> Option<Location> {
        self.0.geoip.locate(address)
    }
}

impl Sender {
    fn new(callers: Callers, peer: IpAddr, headers: &HeaderMap) -> Self {
        let rules = &callers.0;
        let operators = rules.operators.as_ref();
        let has_token = operators.is_some_and(|tokens| tokens.load().shown(headers).is_valid());
        Self {
            caller: rules.proxies.caller(peer, headers, has_token),
            shows_token: bearer(headers).is_some(),
            is_relayed: RELAYED.iter().any(|header| headers.contains_key(header)),
            location: stated_location(headers),
            prefer_wait: stated_wait(headers),
            round_trips: stated_round_trips(headers),
            callers,
        }
    }

    /// The address of the sender, or of the device that it speaks for.
    pub(crate) fn address(&self) -> IpAddr {
        self.caller.address
    }

    /// The place that the sender states; a malformed one counts as none.
    pub(crate) const fn stated_location(&self) -> Option<Location> {
        self.location
    }

    /// The seconds for which the sender waits, if it says so.
    pub(crate) const fn prefer_wait(&self) -> Option<u64> {
        self.prefer_wait
    }

    /// The round trips that the sender measured; a malformed header counts as none.
    pub(crate) const fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// The device that asks, at the place that it states or else where its address is.
    pub(crate) fn client(&self) -> ClientInfo {
        let address = self.address();
        let location = self.location.or_else(|| self.callers.locate(address));
        ClientInfo::new(address, location)
    }

    /// Lets pass who may ask why cloudlets are chosen: an operator, whoever is on this machine, or everyone.
    ///
    /// # Errors
    /// 401 where no token is shown, 403 where it is not an operator's.
    pub(crate) fn may_explain(&self) -> Result<(), Problem> {
        if self.callers.0.public_explain || self.caller.has_token || self.is_on_this_machine() {
            return Ok(());
        }
        if !self.shows_token {
            return Err(Problem::unauthorized(
                "explanations are for operators (--operator-tokens), for callers on this machine, or with --public-explain for everyone",
            ));
        }
        Err(Problem::forbidden("this is no operator's token"))
    }

    /// A proxy on this machine speaks for others, so what it relays comes from elsewhere, even if it does not say from where.
    fn is_on_this_machine(&self) -> bool {
        let is_direct = self.caller.source == AddressSource::Peer && !self.is_relayed;
        is_direct && self.caller.peer.is_loopback()
    }
}

impl<S> FromRequestParts<S> for Sender
where
    S: Send + Sync,
    Callers: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let callers = Callers::from_ref(state);
        let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            tracing::error!("server does not tell the other end's address");
            return Err(Problem::internal("the caller's address is not known"));
        };
        Ok(Self::new(callers, peer.ip(), &parts.headers))
    }
}

fn stated_location(headers: &HeaderMap) -> Option<Location> {
    headers.get(X_LOCATION)?.to_str().ok()?.parse().ok()
}

fn stated_round_trips(headers: &HeaderMap) -> RoundTrips {
    let stated = headers.get(X_RTT).and_then(|value| value.to_str().ok());
    stated
        .and_then(|stated| stated.parse().ok())
        .unwrap_or_default()
}

fn stated_wait(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all(PREFER).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(prefer_wait)
}

#[cfg(test)]
mod tests;
