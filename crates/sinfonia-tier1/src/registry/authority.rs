//! What a report may change: each bearer of a token is held to its scope, and nobody takes what is another's.

use jiff::Timestamp;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::tokens::Scope;
use uuid::Uuid;

use super::known::Known;
use super::state::State;

/// On whose word a report is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportAuthority {
    /// Nobody's: it came without a token.
    Anonymous,
    /// That of the bearer of a token with this scope.
    Token(Scope),
}

/// Why a report may not be taken. Nothing is changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefusal {
    /// The token is another cloudlet's.
    #[error("this token is not for reports of this cloudlet; its scope is {}", told(.scope))]
    OutOfScope {
        /// What the token is good for.
        scope: Scope,
    },
    /// The report came without a token, and the cloudlet's come with one.
    #[error("{endpoint} or its uuid belongs to the bearer of a token; show it")]
    NeedsToken {
        /// Where the report says that it is.
        endpoint: Endpoint,
    },
    /// The cloudlet file gives the uuid to another endpoint.
    #[error("the cloudlet file says that {uuid} is {owner}")]
    UuidOfFile {
        /// The uuid.
        uuid: Uuid,
        /// The endpoint that the file gives it to.
        owner: Endpoint,
    },
    /// Another cloudlet has the endpoint, and the token, which is for a uuid, does not outweigh that.
    #[error(
        "{endpoint} is {owner}; a token for the endpoint, or `uuid` in the cloudlet file, could change that"
    )]
    EndpointTaken {
        /// The endpoint.
        endpoint: Endpoint,
        /// The cloudlet that has it.
        owner: Uuid,
    },
    /// Another cloudlet has the uuid, and the token, which is for an endpoint, does not outweigh that.
    #[error("{uuid} reports from {owner}; a token for the uuid could change that")]
    UuidTaken {
        /// The uuid.
        uuid: Uuid,
        /// The endpoint of the cloudlet that has it.
        owner: Endpoint,
    },
}

impl ReportAuthority {
    /// Checks the scope against as much as is known of a report.
    ///
    /// # Errors
    /// What is known is not what the token is for.
    pub fn check_scope(
        &self,
        uuid: Option<Uuid>,
        endpoint: Option<&Endpoint>,
    ) -> Result<(), ReportRefusal> {
        let Self::Token(scope) = self else {
            return Ok(());
        };
        let covers = match scope {
            Scope::Any => true,
            Scope::Uuid(own) => uuid.is_none_or(|uuid| uuid == *own),
            Scope::Endpoint(own) => endpoint.is_none_or(|endpoint| endpoint == own),
        };
        if covers {
            Ok(())
        } else {
            Err(ReportRefusal::OutOfScope {
                scope: scope.clone(),
            })
        }
    }

    pub(super) const fn has_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// Decides whether a report of this uuid from this endpoint, where `here` is known, may be taken.
pub(super) fn check(
    state: &State,
    uuid: Uuid,
    endpoint: &Endpoint,
    here: Option<&Known>,
    authority: &ReportAuthority,
    now: Timestamp,
) -> Result<(), ReportRefusal> {
    authority.check_scope(Some(uuid), Some(endpoint))?;
    let own = here.filter(|known| known.cloudlet.uuid == uuid);
    let other = if own.is_some() {
        None
    } else {
        state.holder(uuid)
    };
    let holder = other.as_deref();
    if !authority.has_token() {
        check_anonymous(here, holder, endpoint)?;
    }
    if takes_uuid(here, authority)
        && let Some(owner) = state
            .file_owner(uuid, own.or(holder))
            .filter(|owner| owner != endpoint)
    {
        return Err(ReportRefusal::UuidOfFile { uuid, owner });
    }
    match authority {
        ReportAuthority::Token(Scope::Uuid(_)) => check_endpoint(here, uuid, now),
        ReportAuthority::Token(Scope::Endpoint(_)) => check_uuid(holder, uuid, now),
        ReportAuthority::Token(Scope::Any) | ReportAuthority::Anonymous => Ok(()),
    }
}

/// Of an anonymous report for an entry of the file the uuid does not count.
fn takes_uuid(here: Option<&Known>, authority: &ReportAuthority) -> bool {
    authority.has_token() || here.is_none_or(|known| !known.is_from_file())
}

fn check_anonymous(
    here: Option<&Known>,
    holder: Option<&Known>,
    endpoint: &Endpoint,
) -> Result<(), ReportRefusal> {
    let endpoint_is_owned = here.is_some_and(Known::belongs_to_token);
    let uuid_is_owned = holder.is_some_and(Known::belongs_to_token);
    if endpoint_is_owned || uuid_is_owned {
        let endpoint = endpoint.clone();
        return Err(ReportRefusal::NeedsToken { endpoint });
    }
    Ok(())
}

/// A token for a uuid says nothing about endpoints: its bearer may settle at one that nobody holds. An entry of the file is held by the
/// uuid that the file names, any other by the last token that reported it, until that falls silent.
fn check_endpoint(here: Option<&Known>, uuid: Uuid, now: Timestamp) -> Result<(), ReportRefusal> {
    let Some(here) = here else { return Ok(()) };
    let named = here
        .file_uuid()
        .filter(|uuid| *uuid != here.cloudlet.endpoint.uuid());
    let owner = named.or_else(|| here.is_held(now).then_some(here.cloudlet.uuid));
    match owner.filter(|owner| *owner != uuid) {
        None => Ok(()),
        Some(owner) => Err(ReportRefusal::EndpointTaken {
            endpoint: here.cloudlet.endpoint.clone(),
            owner,
        }),
    }
}

/// A token for an endpoint says nothing about uuids: its bearer may take one that nobody else reports with a token.
fn check_uuid(holder: Option<&Known>, uuid: Uuid, now: Timestamp) -> Result<(), ReportRefusal> {
    match holder.filter(|holder| holder.is_held(now)) {
        None => Ok(()),
        Some(holder) => Err(ReportRefusal::UuidTaken {
            uuid,
            owner: holder.cloudlet.endpoint.clone(),
        }),
    }
}

fn told(scope: &Scope) -> String {
    match scope {
        Scope::Any => "*".to_owned(),
        Scope::Uuid(uuid) => uuid.to_string(),
        Scope::Endpoint(endpoint) => endpoint.to_string(),
    }
}
