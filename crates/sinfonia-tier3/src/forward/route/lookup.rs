//! Asking the name servers of the tunnel, and nobody else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name as DnsName;
use sinfonia_tunnel::userspace::UdpPort;
use tokio::time::timeout;

use super::super::destination::{Host, Name};
use super::super::names::{Family, MAX_ANSWER, Question, Reply, candidates};
use super::Route;

/// Port of name servers.
const DOMAIN: u16 = 53;

/// Time that a server has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often each server is asked, because either message may be lost.
const ROUNDS: usize = 2;

/// First of the ports that questions come from.
const FIRST_PORT: u16 = 49152;

/// Ports that are tried where one is in use.
const PORTS: usize = 16;

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    /// Nobody can be asked.
    #[error("the deployment has no name server, so only addresses can be reached")]
    NoServer,
    /// There is no such name.
    #[error("the deployment knows no {0}")]
    Unknown(Name),
    /// No server answers.
    #[error("no name server of the deployment answers")]
    NoAnswer,
    /// No server can tell.
    #[error("the deployment's name servers cannot tell where {0} is")]
    Failed(Name),
    /// The question cannot be sent.
    #[error("cannot ask the deployment's name servers")]
    Ask(#[source] io::Error),
}

/// What became of a question.
enum Outcome {
    Reply(Reply),
    NoAnswer,
}

impl Route {
    /// The addresses of a host, at least one, those of IPv4 first.
    ///
    /// # Errors
    /// The name leads nowhere.
    pub(in super::super) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, NameError> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => self.look_up(name).await,
        }
    }

    async fn look_up(&self, name: &Name) -> Result<Vec<IpAddr>, NameError> {
        let servers: Vec<SocketAddr> = self.servers().collect();
        if servers.is_empty() {
            return Err(NameError::NoServer);
        }
        let mut failed = false;
        for candidate in candidates(name, &self.resolver.search) {
            let (v4, v6) = tokio::join!(
                self.ask(&servers, &candidate, Family::V4),
                self.ask(&servers, &candidate, Family::V6),
            );
            let mut addresses = Vec::new();
            let mut silent = false;
            for outcome in [v4?, v6?] {
                match outcome {
                    Outcome::Reply(Reply::Addresses(found)) => addresses.extend(found),
                    Outcome::Reply(Reply::None) => {}
                    Outcome::Reply(Reply::Failed) => failed = true,
                    Outcome::NoAnswer => silent = true,
                }
            }
            tracing::debug!(%candidate, ?addresses, "name resolved");
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            // As the C library has it: a server that fails may know the next name, one that is silent is not waited for again.
            if silent {
                return Err(NameError::NoAnswer);
            }
        }
        let name = name.clone();
        Err(if failed {
            NameError::Failed(name)
        } else {
            NameError::Unknown(name)
        })
    }

    /// The name servers that can be reached from one of our addresses.
    fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        let servers = self.resolver.servers.iter();
        servers
            .filter(|server| self.own_towards(**server).is_some())
            .map(|server| SocketAddr::new(*server, DOMAIN))
    }

    /// Asks for addresses of a family; there is nothing to ask about one that this device does not have.
    async fn ask(
        &self,
        servers: &[SocketAddr],
        name: &DnsName,
        family: Family,
    ) -> Result<Outcome, NameError> {
        let usable = |own: &IpAddr| own.is_ipv4() == (family == Family::V4);
        if !self.own.iter().any(usable) {
            return Ok(Outcome::Reply(Reply::None));
        }
        let question = Question::new(name.clone(), family);
        let mut outcome = Outcome::NoAnswer;
        for server in (0..ROUNDS).flat_map(|_| servers) {
            match timeout(PATIENCE, self.ask_one(*server, &question)).await {
                Ok(Ok(Reply::Failed)) => outcome = Outcome::Reply(Reply::Failed),
                Ok(reply) => return reply.map(Outcome::Reply).map_err(NameError::Ask),
                Err(_) => tracing::debug!(%server, "name server is silent"),
            }
        }
        Ok(outcome)
    }

    async fn ask_one(&self, server: SocketAddr, question: &Question) -> io::Result<Reply> {
        let id = random()?;
        let port = self.port_towards(server.ip())?;
        let message = question.message(id).ok_or(io::ErrorKind::InvalidInput)?;
        port.send(&message, server)?;
        let mut buffer = [0; MAX_ANSWER as usize];
        loop {
            let (length, from) = port.receive(&mut buffer).await?;
            // Whatever else comes is somebody's attempt to answer in the server's place.
            if from == server
                && let Some(reply) = question.reply(id, &buffer[..length])
            {
                return Ok(reply);
            }
        }
    }

    /// A port that nobody can guess, so that nobody else's answer is taken.
    fn port_towards(&self, server: IpAddr) -> io::Result<UdpPort> {
        let own = self
            .own_towards(server)
            .ok_or(io::ErrorKind::NetworkUnreachable)?;
        for _ in 0..PORTS {
            let at = SocketAddr::new(own, FIRST_PORT | random()?);
            match self.stack.bind(at) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(bytes))
}
