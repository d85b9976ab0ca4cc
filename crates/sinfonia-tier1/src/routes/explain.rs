//! `/explain`: who would get a client, and why not the others.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::key::{KEY_BYTES, PublicKey};
use sinfonia_core::location::Location;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::Explanation;
use sinfonia_core::recipe::HELLOWORLD;
use sinfonia_core::round_trip::RoundTrips;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use uuid::Uuid;

use crate::aside::aside;
use crate::callers::{Callers, Sender};
use crate::deploy::{Deployer, Wish, count, identity, malformed, pairs};

/// How many candidates, and as many exclusions, are told unless the query says otherwise.
const LIMIT: usize = 64;
/// Most that are told.
const MOST: usize = 1000;

/// What the query asks about.
///
/// Recipe and key decide the order among equals and what is remembered. Without them it is told for helloworld and a key of zeros, which
/// remembers nothing. Without a client it is told for the caller.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    recipe: Uuid,
    key: PublicKey,
    client: Option<IpAddr>,
    location: Option<Location>,
    limit: usize,
}

/// `GET`: the ranking with its reasons.
#[utoipa::path(
    get,
    path = "/api/v1/explain",
    operation_id = "explain",
    tag = "Deployments",
    summary = "Tells who would get a client, and why not the others",
    description = "For operators: with a token, from this machine, or for everyone with --public-explain.",
    params(
        ("uuid" = Option<String>, Query, format = "uuid", description = "The recipe; helloworld where it does not say."),
        ("key" = Option<String>, Query, description = "The client's key, which decides among equals.", example = "-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8"),
        ("client" = Option<String>, Query, description = "The client's address; the caller's where it does not say.", example = "192.0.2.7"),
        ("location" = Option<String>, Query, description = "Where the client is: latitude,longitude in degrees; otherwise GeoIP tells.", example = "40.4439,-79.9444"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "How many candidates, and as many exclusions, are told: 64 where it does not say, at most 1000."),
        ("X-ClientIP" = Option<String>, Header),
        ("X-Location" = Option<String>, Header),
        ("X-RTT" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The ranking, also where nobody qualifies", body = ref("#/components/schemas/Explanation")),
        (status = 400, description = "The query is malformed"),
        (status = 401, description = "Explanations are for operators"),
        (status = 403, description = "This is no operator's token"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn explain(
    State(deployer): State<Arc<Deployer>>,
    State(callers): State<Callers>,
    RawQuery(query): RawQuery,
    sender: Sender,
) -> Result<Json<Explanation>, Problem> {
    sender.may_explain()?;
    let question = Question::parse(query.as_deref())?;
    let client = question.client(&sender, &callers);
    let remembered = deployer.remembered(question.recipe, &question.key);
    // Where there is no such recipe it is told for one that requires and prefers nothing.
    let (policy, note) = match deployer.recipes.get(question.recipe).await {
        Ok(recipe) => (recipe.policy.clone(), None),
        Err(error) => {
            let note = format!("{error}: told without what it requires and prefers");
            (Policy::default(), Some(note))
        }
    };
    let round_trips = question.round_trips(&sender);
    let explanation = aside(move || {
        let wish = Wish {
            recipe: question.recipe,
            policy: &policy,
            key: &question.key,
            client,
            round_trips: &round_trips,
            only: None,
            exclude: &[],
            remembered: &remembered,
            circuits: &deployer.circuits,
        };
        let roster = deployer.registry.roster();
        let snapshot = roster.snapshot();
        let ranking = deployer.rank(&roster, &snapshot, &wish);
        Explanation {
            note,
            ..Explanation::new(&client, &ranking, question.limit)
        }
    });
    explanation.await.map(Json)
}

impl Question {
    fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut question = Self {
            recipe: HELLOWORLD,
            key: PublicKey::from_bytes([0; KEY_BYTES]),
            client: None,
            location: None,
            limit: LIMIT,
        };
        for (name, value) in pairs(query) {
            match &*name {
                "uuid" => question.recipe = identity("uuid", &value)?,
                "key" => question.key = key(&value)?,
                "client" => {
                    let address = value.parse();
                    let expected = "an address";
                    question.client =
                        Some(address.map_err(|_| malformed("client", &value, expected))?);
                }
                "location" => {
                    let location = value.parse();
                    let expected = "latitude,longitude in degrees";
                    question.location =
                        Some(location.map_err(|_| malformed("location", &value, expected))?);
                }
                "limit" => question.limit = count("limit", &value)?.get().min(MOST),
                _ => {}
            }
        }
        Ok(question)
    }

    /// The client in question. What the caller's headers say of its place is about the caller alone.
    fn client(&self, sender: &Sender, callers: &Callers) -> ClientInfo {
        let (address, stated) = match self.client {
            Some(address) => (address, self.location),
            None => (sender.address(), self.location.or(sender.stated_location())),
        };
        ClientInfo::new(address, stated.or_else(|| callers.locate(address)))
    }

    /// The round trips that the client measured. Those that the caller's headers tell are its own.
    fn round_trips(&self, sender: &Sender) -> RoundTrips {
        match self.client {
            Some(_) => RoundTrips::default(),
            None => sender.round_trips().clone(),
        }
    }
}

/// A `+` that nobody escaped is a blank by now; no key holds one.
fn key(value: &str) -> Result<PublicKey, Problem> {
    let parsed = value.replace(' ', "+").parse();
    parsed.map_err(|error| Problem::bad_request(format_args!("key: {error}")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn nothing_has_to_be_said() {
        let question = Question::parse(None).unwrap();

        let expected = Question {
            recipe: Uuid::nil(),
            key: PublicKey::from_bytes([0; 32]),
            client: None,
            location: None,
            limit: 64,
        };
        assert_eq!(question, expected);
    }

    #[test]
    fn everything_can_be_said() {
        let key = "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=";
        let query = format!(
            "uuid=00000000-0000-0000-0000-000000000001&key={key}&client=2001:db8::1&location=40.44,-79.94&limit=5000"
        );

        let question = Question::parse(Some(&query)).unwrap();

        let expected = Question {
            recipe: Uuid::from_u128(1),
            key: key.parse().unwrap(),
            client: Some("2001:db8::1".parse().unwrap()),
            location: Some(Location::new(40.44, -79.94).unwrap()),
            limit: 1000,
        };
        assert_eq!(question, expected);
    }

    #[rstest]
    #[case::uuid("uuid=1", "uuid: `1` is not a uuid")]
    #[case::client("client=example.com", "client: `example.com` is not an address")]
    #[case::location(
        "location=91,0",
        "location: `91,0` is not latitude,longitude in degrees"
    )]
    #[case::limit("limit=0", "limit: `0` is not a number from 1 on")]
    #[case::key(
        "key=abc",
        "key: a WireGuard key has 43 base64 characters, 44 with padding, or 64 hex digits; this one has 3"
    )]
    fn what_is_malformed_is_named(#[case] query: &str, #[case] detail: &str) {
        assert_eq!(
            Question::parse(Some(query)),
            Err(Problem::bad_request(detail))
        );
    }
}
