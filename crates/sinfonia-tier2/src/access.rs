//! Who may deploy and delete here.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;
use sinfonia_core::network::Network;
use sinfonia_service::limits::ClientLimiter;
use sinfonia_service::problem::Problem;
use sinfonia_service::proxies::{AddressSource, Caller, TrustedProxies};
use sinfonia_service::reload::Reloaded;
use sinfonia_service::tokens::{Shown, Tokens};

/// The rules by which a caller is judged.
pub(crate) struct Access {
    /// Whose word about a client's address counts.
    pub(crate) proxies: TrustedProxies,
    /// Tokens of those who may deploy; everybody may where there are none.
    pub(crate) tokens: Option<Reloaded<Tokens>>,
    /// Which clients are served.
    pub(crate) clients: Clients,
    /// How often a client may ask for a deployment, if that is limited.
    pub(crate) limiter: Option<ClientLimiter>,
}

/// Which clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    /// Networks at the cloudlet, whose clients are served as well.
    pub(crate) local: Vec<Network>,
    /// Networks of clients that are served.
    pub(crate) accepted: Vec<Network>,
    /// Networks of clients that are not, whatever else is said.
    pub(crate) rejected: Vec<Network>,
}

/// A caller that may change deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authorised(pub(crate) Caller);

impl Access {
    /// Finds out who a request that changes something comes from.
    ///
    /// # Errors
    /// Tokens are asked for and the caller shows none although it is no trusted proxy (401), or shows a wrong one (403).
    fn authorise(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Authorised, Problem> {
        let Some(tokens) = &self.tokens else {
            return Ok(Authorised(self.proxies.caller(peer, headers, false)));
        };
        let tokens = tokens.load();
        let shown = tokens.shown(headers);
        let caller = self.proxies.caller(peer, headers, shown.is_valid());
        match shown {
            Shown::Wrong => Err(Problem::forbidden("the token is not known here")),
            Shown::Nothing if !caller.is_trusted => {
                Err(Problem::unauthorized("deploying here needs a token"))
            }
            Shown::Nothing | Shown::Valid(_) => Ok(Authorised(caller)),
        }
    }

    /// Whether a request shows a token that is known here.
    pub(crate) fn shows_token(&self, headers: &HeaderMap) -> bool {
        let tokens = self.tokens.as_ref();
        tokens.is_some_and(|tokens| tokens.load().shown(headers).is_valid())
    }

    /// Lets a client pass that may have a deployment.
    ///
    /// # Errors
    /// It is not served here (403), or asks too often (429).
    pub(crate) fn admit(&self, client: IpAddr) -> Result<(), Problem> {
        if !self.clients.serve(client) {
            return Err(Problem::forbidden(format_args!(
                "clients at {client} are not served here"
            )));
        }
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter
            .check(client)
            .map_err(|seconds| Problem::too_many_requests("the client asks too often", seconds))
    }
}

impl Clients {
    fn serve(&self, client: IpAddr) -> bool {
        let holds = |networks: &[Network]| networks.iter().any(|network| network.contains(client));
        !holds(&self.rejected) && (holds(&self.local) || holds(&self.accepted))
    }
}

impl Authorised {
    /// Whether the caller may delete what a client at this address created: that client itself, or the bearer of a token that speaks
    /// for nobody else.
    pub(crate) fn may_delete(&self, creator: IpAddr) -> bool {
        let Self(caller) = self;
        let speaks_for_another = caller.source == AddressSource::ClientIp;
        caller.address == creator || (caller.has_token && !speaks_for_another)
    }
}

impl<S> FromRequestParts<S> for Authorised
where
    S: AsRef<Access> + Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let Some(ConnectInfo(peer)) = peer else {
            tracing::error!("the server does not tell the other end's address");
            return Err(Problem::internal("the caller's address is not known"));
        };
        state.as_ref().authorise(peer.ip(), &parts.headers)
    }
}
