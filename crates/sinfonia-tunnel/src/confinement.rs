//! Applications that are confined to a tunnel: namespaces of their own, made without root.
//!
//! Two processes take part. The *outer* one is whoever uses this: it keeps the network of the host, and moves packets between the TUN
//! device and a tunnel. It starts itself once more as the *inner* one, because only a process with one thread can leave its namespaces.
//! The inner process makes everything, hands the descriptors of it out, waits for the tunnel, and becomes the application. So
//! [`inner()`] has to be called first of all in `main`.
//!
//! The namespaces know nothing of the tunnel at first: [`Confinement::configure`] gives them addresses and name servers, at the
//! beginning and whenever they change. So they can be made, or be found forbidden, before there is anything to connect to.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use sinfonia_tunnel::confinement::{self, Application, Confinement, Mtu, Network, Resolver, Signals};
//!
//! fn main() -> ExitCode {
//!     match confinement::inner() {
//!         Some(code) => code,
//!         None => outer().map_or_else(|error| error.exit_code().into(), ExitCode::from),
//!     }
//! }
//!
//! fn outer() -> Result<u8, confinement::ConfinementError> {
//!     let signals = Signals::hold().map_err(confinement::ConfinementError::Start)?;
//!     let (mut confinement, tun, waiting) = Confinement::make(&Application::new("curl"))?;
//!     confinement.configure(&Network {
//!         addresses: vec![sinfonia_core::tunnel::Interface::host([10, 5, 17, 4].into())],
//!         mtu: Mtu::default(),
//!         resolver: Resolver::default(),
//!     })?;
//!     // Here the tunnel takes `tun` and shakes hands.
//!     let running = waiting.go()?;
//!     signals.pass_on_to(running.handle()).map_err(confinement::ConfinementError::Start)?;
//!     let status = running.wait().map_err(confinement::ConfinementError::Gone)?;
//!     # drop(tun);
//!     Ok(confinement::exit_code(status))
//! }
//! ```
//!
//! What stays reachable: unix sockets in the file system other than those of name services, such as a display, a session's D-Bus, an
//! SSH agent or a container engine. What uses them can reach the network through whoever listens there.

mod application;
mod channel;
mod error;
mod explanation;
mod failure;
mod inner;
mod link;
mod mounts;
mod namespaces;
mod netlink;
mod network;
mod privileges;
mod process;
mod raw;
mod resolver;
mod signals;
mod tun;

use std::io;
use std::iter;
use std::os::fd::AsFd as _;

pub use application::{Application, Running, Waiting};
pub use error::ConfinementError;
pub use failure::Step;
pub use inner::inner;
pub use link::LinkError;
pub use namespaces::Namespaces;
pub use network::{Mtu, Network};
pub use process::{Handle, exit_code};
pub use signals::Signals;
pub use sinfonia_core::resolver::Resolver;
#[cfg(test)]
pub(crate) use tun::make_framed;
pub use tun::{Framing, Tun};

use application::unexpected;
use channel::Message;
use link::Link;
use resolver::ResolverFile;

/// Namespaces whose only way out is a TUN device. They last until this is dropped and every process in them has ended.
#[derive(Debug)]
pub struct Confinement {
    namespaces: Namespaces,
    link: Link,
    resolver: ResolverFile,
}

impl Confinement {
    /// Makes them, with a process in them that waits to become the application, and the device's outer end.
    ///
    /// # Errors
    /// The system forbids it: [`ConfinementError::hint`] tells which setting does, and what to do.
    pub fn make(application: &Application) -> Result<(Self, Tun, Waiting), ConfinementError> {
        let waiting = Waiting::start(application, |channel| channel.create(io::stdin().as_fd()))?;
        let Message::Created(framing, descriptors) = waiting.hear()? else {
            return Err(unexpected());
        };
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(unexpected);
        let (descriptor, netlink, resolver) = (next()?, next()?, next()?);
        let confinement = Self {
            namespaces: Namespaces::from_descriptors(&mut descriptors).ok_or_else(unexpected)?,
            link: Link::new(netlink)?,
            resolver: ResolverFile::new(resolver),
        };
        let tun = Tun {
            descriptor,
            framing,
        };
        Ok((confinement, tun, waiting))
    }

    /// Gives them addresses and name servers, in place of those that they have.
    ///
    /// # Errors
    /// The system does not take one of them.
    pub fn configure(&mut self, network: &Network) -> Result<(), ConfinementError> {
        self.resolver
            .write(&network.resolver)
            .map_err(ConfinementError::Resolver)?;
        Ok(self.link.apply(network)?)
    }

    /// What another application can be started in.
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }
}

impl Namespaces {
    /// Starts one more application in them, which waits for its [`Waiting::go`].
    ///
    /// # Errors
    /// They cannot be entered.
    pub fn start(&self, application: &Application) -> Result<Waiting, ConfinementError> {
        let waiting = Waiting::start(application, |channel| {
            let stdin = io::stdin();
            let descriptors: Vec<_> = iter::once(stdin.as_fd())
                .chain(self.descriptors())
                .collect();
            channel.enter(&descriptors)
        })?;
        match waiting.hear()? {
            Message::Entered => Ok(waiting),
            _ => Err(unexpected()),
        }
    }
}
