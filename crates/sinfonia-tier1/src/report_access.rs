//! Who may report cloudlets: bearers of report tokens, and anonymous callers where that is allowed.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::network::Network;
use sinfonia_service::reload::Reloaded;
use sinfonia_service::settings::{List, ListError};
use sinfonia_service::tokens::{Scope, Shown, TokenFileError, Tokens};
use uuid::Uuid;

use crate::registry::ReportAuthority;

/// The tokens of `--report-tokens`, and whom they are for.
pub struct ReportTokens {
    tokens: Tokens,
    uuids: HashSet<Uuid>,
    endpoints: HashSet<Endpoint>,
}

/// The callers that may report without a token (`--allow-anonymous-reports`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnonymousReports(Vec<Network>);

/// Who may report.
pub struct ReportAccess {
    /// The tokens; `None` where no file of them was given.
    pub tokens: Option<Reloaded<ReportTokens>>,
    /// Who needs none.
    pub anonymous: AnonymousReports,
}

/// Why a caller may not report at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nobody may.
    #[error(
        "this Tier 1 takes no reports: start it with --report-tokens FILE, or with --allow-anonymous-reports for cloudlets that show no token"
    )]
    Nobody,
    /// The caller needs a token.
    #[error(
        "a report from {0} needs a token (Authorization: Bearer, from --report-tokens); --allow-anonymous-reports takes reports without one"
    )]
    NoToken(IpAddr),
    /// The caller's token is not one of those.
    #[error("the token shown is not one of --report-tokens")]
    WrongToken,
}

impl ReportTokens {
    /// Reads a token file, the scope of each token being what it may report as.
    ///
    /// # Errors
    /// The file is malformed or holds no token.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, TokenFileError> {
        let tokens = Tokens::parse_bytes(bytes)?;
        let mut uuids = HashSet::new();
        let mut endpoints = HashSet::new();
        for scope in tokens.scopes() {
            match scope {
                Scope::Any => {}
                Scope::Uuid(uuid) => {
                    uuids.insert(*uuid);
                }
                Scope::Endpoint(endpoint) => {
                    endpoints.insert(endpoint.clone());
                }
            }
        }
        Ok(Self {
            tokens,
            uuids,
            endpoints,
        })
    }
}

impl AnonymousReports {
    /// Callers from these networks; from none of them nobody.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Every caller.
    pub fn from_everyone() -> Self {
        Self(vec![Network::ALL_IPV4, Network::ALL_IPV6])
    }

    fn allow(&self, caller: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(caller))
    }
}

impl FromStr for AnonymousReports {
    type Err = ListError;

    /// Reads the setting: `true` is everyone and `false` nobody, as for a switch; else a list of networks.
    fn from_str(text: &str) -> Result<Self, ListError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Self::from_everyone()),
            "false" | "no" | "off" | "0" => Ok(Self::default()),
            _ => text.parse().map(|List(networks)| Self(networks)),
        }
    }
}

impl ReportAccess {
    /// On whose word a report with these headers from this caller is taken. Where there are no tokens, none is looked at.
    ///
    /// # Errors
    /// The caller shows none and needs one, or a wrong one.
    pub fn authority(
        &self,
        headers: &HeaderMap,
        caller: IpAddr,
    ) -> Result<ReportAuthority, AccessError> {
        let is_allowed = self.anonymous.allow(caller);
        let Some(tokens) = &self.tokens else {
            return match is_allowed {
                true => Ok(ReportAuthority::Anonymous),
                false if self.anonymous.0.is_empty() => Err(AccessError::Nobody),
                false => Err(AccessError::NoToken(caller)),
            };
        };
        match tokens.load().tokens.shown(headers) {
            Shown::Valid(scope) => Ok(ReportAuthority::Token(scope.clone())),
            Shown::Wrong => Err(AccessError::WrongToken),
            Shown::Nothing if is_allowed => Ok(ReportAuthority::Anonymous),
            Shown::Nothing => Err(AccessError::NoToken(caller)),
        }
    }

    /// Whether a token was given out for this uuid or this endpoint, so that nobody reports them without.
    pub fn is_given_out(&self, uuid: Uuid, endpoint: &Endpoint) -> bool {
        let tokens = self.tokens.as_ref().map(Reloaded::load);
        tokens.is_some_and(|tokens| {
            tokens.uuids.contains(&uuid) || tokens.endpoints.contains(endpoint)
        })
    }
}

#[cfg(test)]
mod tests;
