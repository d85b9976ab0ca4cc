//! What all commands that ask Tier 1 need.

use std::future::Future;

use sinfonia_service::client::{self, ClientSettings, may_carry_token};
use sinfonia_service::tokens::OwnToken;
use sinfonia_service::traces::{Export, Program};
use tokio::runtime;

use crate::application::Application;
use crate::arguments::{ConnectionArgs, TalkArgs, Tier1Args};
use crate::discovery;
use crate::failure::{Call, CommandError};
use crate::key_cache::{KeyCache, KeyPair, Origin};
use crate::log;
use crate::talk::Talk;
use crate::tier1::{AskError, Tier1};
use crate::tier1_url::Tier1Url;

/// The name of the program.
const PROGRAM: &str = "sinfonia-tier3";

/// Who is asked.
pub(crate) enum Place {
    /// This Tier 1.
    Tier1(Tier1Url),
    /// A cloudlet that is found on the local network.
    LocalNetwork,
}

/// A Tier 1, the application that it is asked about, and this device's keys.
pub(crate) struct Session {
    pub(crate) tier1: Tier1,
    pub(crate) application: Application,
    pub(crate) keys: KeyCache,
    pub(crate) talk: Talk,
}

impl Session {
    /// Prepares to ask the Tier 1 that the options or the environment name.
    ///
    /// # Errors
    /// The URL is missing or malformed, or a file that an option names cannot be used.
    pub(crate) fn open(
        tier1: &Tier1Args,
        application: Application,
        talk: TalkArgs,
    ) -> Result<Self, CommandError> {
        let Tier1Args {
            tier1_url,
            zeroconf,
            connection,
        } = tier1;
        let place = if *zeroconf {
            Place::LocalNetwork
        } else {
            let url = tier1_url.as_deref().ok_or(CommandError::NoUrl)?;
            Place::Tier1(url.parse()?)
        };
        Self::with(place, connection, application, talk)
    }

    /// Prepares to ask a Tier 1, not a cloudlet that takes its place.
    ///
    /// # Errors
    /// The options want such a cloudlet; otherwise as [`Session::open`].
    pub(crate) fn open_tier1(
        tier1: &Tier1Args,
        application: Application,
        talk: TalkArgs,
    ) -> Result<Self, CommandError> {
        if tier1.zeroconf {
            return Err(CommandError::NotOfACloudlet);
        }
        Self::open(tier1, application, talk)
    }

    /// Prepares to ask whoever is there. A token is shown to a Tier 1 alone: anybody can say to be a cloudlet.
    ///
    /// # Errors
    /// A file that an option names cannot be used, or there is no cloudlet.
    pub(crate) fn with(
        place: Place,
        connection: &ConnectionArgs,
        application: Application,
        talk: TalkArgs,
    ) -> Result<Self, CommandError> {
        let export = Export {
            program: Program::Command(PROGRAM),
            args: &connection.traces,
            client: &connection.client,
        };
        log::init(talk, Some(export))?;
        let (url, token) = match place {
            Place::Tier1(url) => {
                let token = token(connection, &url)?;
                (url, token)
            }
            Place::LocalNetwork => {
                let _progress =
                    Talk::new(talk.quiet).progress("looking for a cloudlet on the local network");
                (discovery::find()?, None)
            }
        };
        let client = client::build(&ClientSettings {
            ca_file: connection.client.ca_file.clone(),
            ..ClientSettings::new(PROGRAM)
        })?;
        Ok(Self {
            tier1: Tier1::new(client, url, token),
            application,
            keys: KeyCache::of_user()?,
            talk: Talk::new(talk.quiet),
        })
    }

    /// This device's key for the application, made where there is none.
    ///
    /// # Errors
    /// The key cache cannot be used.
    pub(crate) fn key(&self) -> Result<KeyPair, CommandError> {
        let (pair, origin) = self.keys.find_or_make(self.application)?;
        if origin == Origin::Replaced {
            let entry = self.keys.entry(self.application);
            self.talk.note(&format!(
                "note: {} held no usable key, a new one took its place",
                entry.display()
            ));
        }
        Ok(pair)
    }

    /// This device's key for the application, which has to be there.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn known_key(&self) -> Result<KeyPair, CommandError> {
        self.keys
            .find(self.application)
            .ok_or_else(|| CommandError::NoKey {
                application: self.application,
                url: self.tier1.url().clone(),
                entry: self.keys.entry(self.application),
            })
    }

    /// Asks Tier 1, and tells a failure with what was asked for.
    ///
    /// # Errors
    /// Those of the question.
    pub(crate) fn ask<T>(
        &self,
        call: Call,
        question: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, CommandError> {
        run(question)?.map_err(|error| self.refused(call, error))
    }

    /// A failure with what was asked for.
    pub(crate) fn refused(&self, call: Call, error: AskError) -> CommandError {
        CommandError::Ask {
            call,
            application: self.application,
            url: self.tier1.url().clone(),
            entry: self.keys.entry(self.application),
            error,
        }
    }
}

/// Runs something that waits, on this thread.
///
/// # Errors
/// The system gives no resources to wait with.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let done = runtime.block_on(work);
    // A name look-up that nobody waits for any more must not hold the program.
    runtime.shutdown_background();
    Ok(done)
}

fn token(connection: &ConnectionArgs, url: &Tier1Url) -> Result<Option<OwnToken>, CommandError> {
    let Some(path) = connection.token.clone() else {
        return Ok(None);
    };
    if !may_carry_token(url.url(), connection.client.insecure_http) {
        return Err(CommandError::TokenInTheClear(url.clone()));
    }
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(CommandError::ReadToken { path, source }),
    };
    OwnToken::parse_bytes(&bytes)
        .map(Some)
        .map_err(|source| CommandError::Token { path, source })
}
