//! Two namespaces with an end of a tunnel each, and what is measured between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::ends::{Other, PORT, Place, Program, new_key};
use super::iperf::Stream;
use super::namespace::{Namespace, User};
use super::running::Running;
use super::tools::Tools;
use crate::bench::process::{cpu_seconds, peak_mebibytes};

/// The client's address and the server's outside the tunnel, and inside.
const OUTSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
const INSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2)];
/// Ports on the server's side: of the relay outside the tunnel, of the others on both sides.
const RELAY: u16 = 51_821;
const IPERF: u16 = 5_201;
const TRANSFER: u16 = 4_000;
const ECHO: u16 = 7;
/// Time of a transfer or of a measurement beyond what it takes where all is well.
const PATIENCE: Duration = Duration::from_secs(60);
/// Round trips that are measured.
const ROUND_TRIPS: usize = 5_000;

/// How two ends are put together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) client: Program,
    pub(super) server: Program,
    /// The client's cores; those of the server and of iperf3 at both ends.
    pub(super) cores: [Option<&'static str>; 2],
    pub(super) user: User,
    /// A path that delays and loses datagrams, those with numbers that this seed chooses.
    pub(super) lossy: Option<u64>,
    /// Bytes of the file that is transferred in each direction.
    pub(super) file: u64,
}

/// From the client to the server, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// A stream, and what it cost the client's tunnel.
pub(super) struct Streamed {
    pub(super) gigabits_per_second: f64,
    pub(super) cpu_seconds_per_gigabyte: f64,
}

/// Quantiles of round trips in microseconds.
pub(super) struct RoundTrips {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Both ends, running. Dropped in this order.
pub(super) struct Lab<'a> {
    tools: &'a Tools,
    plan: Plan,
    client: Running,
    server: Running,
    _relay: Option<Running>,
    namespaces: [Namespace; 2],
}

impl<'a> Lab<'a> {
    /// Starts both ends, and checks that a file arrives as it was in each direction.
    ///
    /// # Errors
    /// One does not come up, or the file is another one.
    pub(super) fn start(tools: &'a Tools, plan: Plan) -> anyhow::Result<Self> {
        let namespaces = [Namespace::new(plan.user)?, Namespace::new(plan.user)?];
        namespaces[0].join(&namespaces[1], OUTSIDE)?;
        let keys = [new_key()?, new_key()?];
        let [client, server] = [0, 1].map(|side| Place {
            namespace: &namespaces[side],
            cores: plan.cores[side],
            key: &keys[side],
            inside: INSIDE[side].into(),
        });
        let other = |side: usize, endpoint| Other {
            key: keys[side].public_key(),
            inside: INSIDE[side].into(),
            endpoint,
            keepalive: None,
        };
        let relay = plan.lossy.map(|seed| relay(tools, &namespaces[1], seed));
        let relay = relay.transpose()?;
        let port = if relay.is_some() { RELAY } else { PORT };
        let endpoint = SocketAddr::new(OUTSIDE[1].into(), port);
        let server = plan.server.start(tools, &server, &other(0, None))?;
        let client = plan
            .client
            .start(tools, &client, &other(1, Some(endpoint)))?;
        let lab = Self {
            tools,
            plan,
            client,
            server,
            _relay: relay,
            namespaces,
        };
        for direction in [Direction::Up, Direction::Down] {
            lab.transfer(direction)?;
        }
        Ok(lab)
    }

    /// Sends a file through the tunnel and compares the SHA-256 of what was sent with that of what arrived.
    fn transfer(&self, direction: Direction) -> anyhow::Result<()> {
        let (from, to) = match direction {
            Direction::Up => (0, 1),
            Direction::Down => (1, 0),
        };
        let address = SocketAddr::new(INSIDE[to].into(), TRANSFER).to_string();
        let mut receive = self.tools.part(&self.namespaces[to], None);
        receive.args(["receive", &address]);
        let mut receiving = Running::start("the receiver of a file", receive, "")?;
        receiving.first_line()?;
        let mut send = self.tools.part(&self.namespaces[from], None);
        send.args(["send", &address, &self.plan.file.to_string()]);
        let sent = Running::start("the sender of a file", send, "")?.output(PATIENCE)?;
        let received = receiving.output(PATIENCE)?;
        let plan = self.plan;
        ensure!(
            !sent.is_empty() && sent == received,
            "a file did not arrive as it was, {direction:?} from {:?} to {:?}: SHA-256 and length were {}, then {}; no figures of such a tunnel are printed",
            plan.client,
            plan.server,
            sent.trim_end(),
            received.trim_end(),
        );
        Ok(())
    }

    /// Streams with iperf3 for a number of seconds.
    ///
    /// # Errors
    /// iperf3 does not work through the tunnel.
    pub(super) fn stream(&self, direction: Direction, seconds: u64) -> anyhow::Result<Streamed> {
        let mut server = self.namespaces[1].command("iperf3", self.plan.cores[1]);
        server.args(["--server", "--one-off", "--forceflush"]);
        let mut server = Running::start("the server of iperf3", server, "")?;
        server.first_line()?;
        let before = cpu_seconds(self.client.id())?;
        let stream = self.iperf3(direction, seconds)?;
        let cpu = cpu_seconds(self.client.id())? - before;
        Ok(Streamed {
            gigabits_per_second: stream.gigabits_per_second,
            cpu_seconds_per_gigabyte: cpu / stream.gigabytes,
        })
    }

    fn iperf3(&self, direction: Direction, seconds: u64) -> anyhow::Result<Stream> {
        let begun = Instant::now();
        loop {
            let mut client = self.namespaces[0].command("iperf3", self.plan.cores[1]);
            client
                .args(["--client", &INSIDE[1].to_string(), "--json"])
                .args(["--port", &IPERF.to_string(), "--time", &seconds.to_string()]);
            if direction == Direction::Down {
                client.arg("--reverse");
            }
            let time = Duration::from_secs(seconds) + PATIENCE;
            let output = Running::start("iperf3", client, "")?.output(time);
            match output {
                // The server says that it is up a moment before it is.
                Err(error)
                    if error.to_string().contains("Connection refused")
                        && begun.elapsed() < PATIENCE =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                output => return Stream::parse(&output?).context("a stream broke down"),
            }
        }
    }

    /// Sends small packets back and forth through the tunnel, and beside it.
    ///
    /// # Errors
    /// They do not come back.
    pub(super) fn round_trips(&self) -> anyhow::Result<(RoundTrips, RoundTrips)> {
        let inside = self.ping_pong(INSIDE[1].into())?;
        let outside = self.ping_pong(OUTSIDE[1].into())?;
        Ok((inside, outside))
    }

    fn ping_pong(&self, address: IpAddr) -> anyhow::Result<RoundTrips> {
        let address = SocketAddr::new(address, ECHO).to_string();
        let mut echo = self.tools.part(&self.namespaces[1], None);
        echo.args(["echo", &address]);
        let mut echoing = Running::start("the echo", echo, "")?;
        echoing.first_line()?;
        let mut ping = self.tools.part(&self.namespaces[0], None);
        ping.args(["ping", &address, &ROUND_TRIPS.to_string()]);
        let output = Running::start("the ping-pong", ping, "")?.output(PATIENCE)?;
        let mut words = output.split_whitespace().map(str::parse);
        let (Some(Ok(p50)), Some(Ok(p99))) = (words.next(), words.next()) else {
            bail!("the ping-pong printed {output:?}");
        };
        Ok(RoundTrips { p50, p99 })
    }

    /// The most memory that the client's tunnel has had, in MiB.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn client_memory(&self) -> anyhow::Result<f64> {
        peak_mebibytes(self.client.id())
    }

    /// Fails if an end has broken down meanwhile.
    ///
    /// # Errors
    /// That is what it is for.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.client.check()?;
        self.server.check()
    }
}

fn relay(tools: &Tools, namespace: &Namespace, seed: u64) -> anyhow::Result<Running> {
    let mut command = tools.part(namespace, None);
    let listen = SocketAddr::new(OUTSIDE[1].into(), RELAY);
    let target = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    command
        .args(["relay", &listen.to_string(), &target.to_string()])
        .args(["--seed", &seed.to_string()]);
    let mut running = Running::start("the lossy path", command, "")?;
    running.first_line()?;
    Ok(running)
}
