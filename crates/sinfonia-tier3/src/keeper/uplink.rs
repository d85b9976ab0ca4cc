//! What the keeper needs of a tunnel, whoever the tunnel serves.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_core::tunnel::TunnelConfig;

use crate::watch::Silence;

/// A tunnel to a cloudlet that may lead to another one while it is used.
///
/// The keeper waits for each of these methods to its end and does nothing else meanwhile, so that none may take long.
pub(crate) trait Uplink {
    /// Another cloudlet that is asked whether it answers. Dropping it alone does not take it back, [`Self::forget`] does.
    type Greeting;

    /// Why the tunnel cannot be looked after.
    type Error: Error + Send + Sync + 'static;

    /// What the tunnel is like at present.
    fn config(&self) -> &TunnelConfig;

    /// What was done so far.
    ///
    /// # Errors
    /// The tunnel broke down.
    async fn traffic(&self) -> Result<Traffic, Self::Error>;

    /// Whether the tunnel could lead to such an address.
    fn reaches(&self, endpoint: SocketAddr) -> bool;

    /// Tries the same cloudlet at another address.
    ///
    /// # Errors
    /// The tunnel broke down.
    async fn redirect(&self, endpoint: SocketAddr) -> Result<(), Self::Error>;

    /// Begins to shake hands with another cloudlet, while packets still go to the present one.
    ///
    /// # Errors
    /// The tunnel broke down, or the system lacks what another one needs.
    async fn greet(
        &self,
        config: &TunnelConfig,
        endpoint: SocketAddr,
    ) -> Result<Self::Greeting, Self::Error>;

    /// Whether another cloudlet has answered.
    ///
    /// # Errors
    /// The tunnel broke down.
    async fn has_answered(&self, greeting: &Self::Greeting) -> Result<bool, Self::Error>;

    /// Forgets another cloudlet.
    ///
    /// # Errors
    /// The tunnel broke down.
    async fn forget(&self, greeting: Self::Greeting) -> Result<(), Self::Error>;

    /// Leads to another cloudlet from now on. When that fails, it leads where it did, and the other one is forgotten.
    ///
    /// # Errors
    /// What the other one asks for cannot be had, or the tunnel broke down.
    async fn move_to(&mut self, greeting: Self::Greeting) -> Result<(), Self::Error>;
}

/// What an uplink has done, and how the cloudlet answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes to all cloudlets so far.
    pub(crate) sent_bytes: u64,
    /// Bytes from all cloudlets so far.
    pub(crate) received_bytes: u64,
    /// Where the present one is.
    pub(crate) endpoint: Option<SocketAddr>,
    /// How long its last handshake took.
    pub(crate) round_trip: Option<Duration>,
    /// Whether it leaves something without an answer.
    pub(crate) silence: Option<Silence>,
}
