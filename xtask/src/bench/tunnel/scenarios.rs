//! What is measured, and what it has to reach.

use clap::ValueEnum;

use super::buffers::SmallBuffers;
use super::ends::Program;
use super::lab::{Direction, Lab, Plan};
use super::namespace::User;
use super::start;
use super::table::{Bound, Cell, Of, Target};
use super::tools::Tools;

/// Bytes of the file that is compared, and where the path loses some of it.
const FILE: u64 = 64 << 20;
const FILE_OF_A_LOSSY_PATH: u64 = 1 << 20;

/// Measurements that are made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The client of either program, a server of wireguard-go.
    Server,
    /// Both ends of the same program.
    BothEnds,
    /// The client alone on one core, everything else on another.
    OneCore,
    /// Both ends of the same program, with datagrams late and lost.
    Loss,
    /// Both ends of the same program, run as an ordinary user with the socket buffers of a stock kernel.
    SmallBuffers,
    /// From the start of sinfonia-tier3 to that of its application.
    Start,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Ours,
    Baseline,
}

const fn cell(what: &'static str, unit: &'static str, target: Option<Target>) -> Cell {
    Cell { what, unit, target }
}

const fn target(of: Of, bound: Bound, must: f64, ambitious: f64) -> Option<Target> {
    Some(Target {
        of,
        bound,
        must,
        ambitious,
    })
}

const RATE: &str = "Gbit/s";
const CPU: Option<Target> = target(Of::Ratio, Bound::AtMost, 0.75, 0.6);
const WITH_THEIR_SERVER: Option<Target> = target(Of::Ratio, Bound::AtLeast, 1.0, 1.25);
const AT_BOTH_ENDS: Option<Target> = target(Of::Ratio, Bound::AtLeast, 1.3, 1.6);
const ON_ONE_CORE: Option<Target> = target(Of::Ratio, Bound::AtLeast, 1.2, 1.4);
const LATENCY: Option<Target> = target(Of::Ratio, Bound::AtMost, 1.0, 0.6);
const MEMORY: Option<Target> = target(Of::Ours, Bound::AtMost, 30.0, 10.0);
const START: Option<Target> = target(Of::Ours, Bound::AtMost, 50.0, 15.0);

impl Scenario {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server of wireguard-go",
            Self::BothEnds => "both ends alike",
            Self::OneCore => "client alone on a core",
            Self::Loss => "lossy path",
            Self::SmallBuffers => "small buffers",
            Self::Start => "start",
        }
    }

    pub(super) const fn baseline(self) -> &'static str {
        match self {
            Self::Start => "`date` alone",
            _ => "wireguard-go",
        }
    }

    /// What [`Self::measure`] returns.
    pub(super) fn cells(self) -> Vec<Cell> {
        match self {
            Self::Server => vec![
                cell(
                    "client's CPU seconds per GB, up, server of wireguard-go",
                    "s/GB",
                    CPU,
                ),
                cell("the same, down", "s/GB", CPU),
                cell(
                    "throughput up, server of wireguard-go",
                    RATE,
                    WITH_THEIR_SERVER,
                ),
                cell("the same, down", RATE, WITH_THEIR_SERVER),
                cell("client's peak memory after that", "MiB", MEMORY),
            ],
            Self::BothEnds => vec![
                cell(
                    "throughput up, the program at both ends",
                    RATE,
                    AT_BOTH_ENDS,
                ),
                cell("the same, down", RATE, AT_BOTH_ENDS),
                cell(
                    "round trip added to bare veth's, p50, the program at both ends",
                    "µs",
                    LATENCY,
                ),
                cell("the same, p99", "µs", None),
                cell("round trip of bare veth, p50", "µs", None),
            ],
            Self::OneCore => vec![
                cell(
                    "throughput up, client alone on core 0, our server and iperf3 on core 1",
                    RATE,
                    ON_ONE_CORE,
                ),
                cell("the same, down", RATE, ON_ONE_CORE),
            ],
            Self::Loss => vec![
                cell(
                    "throughput up, the program at both ends, 1 % loss and 20 ms delay each way",
                    "Mbit/s",
                    None,
                ),
                cell("the same, down", "Mbit/s", None),
            ],
            Self::SmallBuffers => vec![
                cell(
                    "throughput up, the program at both ends, as an ordinary user with socket buffers of 208 KiB",
                    RATE,
                    None,
                ),
                cell("the same, down", RATE, None),
            ],
            Self::Start => vec![cell(
                "start of `sinfonia-tier3 deploy helloworld -- date` until `date` tells the time, with an instant Tier 1 and the handshake with a local peer",
                "ms",
                START,
            )],
        }
    }

    /// Why it cannot be measured on this machine, if so.
    pub(super) fn obstacle(self) -> Option<&'static str> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (self == Self::OneCore && cores < 2).then_some("there is only one core")
    }

    /// Measures once.
    ///
    /// # Errors
    /// Something does not work, or a file does not arrive as it was.
    pub(super) fn measure(
        self,
        tools: &Tools,
        subject: Subject,
        round: u64,
        seconds: u64,
    ) -> anyhow::Result<Vec<f64>> {
        if self == Self::Start {
            return Ok(vec![match subject {
                Subject::Ours => start::ours(tools)?,
                Subject::Baseline => start::application_alone()?,
            }]);
        }
        let _small = (self == Self::SmallBuffers)
            .then(SmallBuffers::set)
            .transpose()?;
        let mut lab = Lab::start(tools, self.plan(subject, round))?;
        let up = lab.stream(Direction::Up, seconds)?;
        let down = lab.stream(Direction::Down, seconds)?;
        let rates = [up.gigabits_per_second, down.gigabits_per_second];
        let values = match self {
            Self::Server => vec![
                up.cpu_seconds_per_gigabyte,
                down.cpu_seconds_per_gigabyte,
                rates[0],
                rates[1],
                lab.client_memory()?,
            ],
            Self::BothEnds => {
                let (inside, outside) = lab.round_trips()?;
                let added = [inside.p50 - outside.p50, inside.p99 - outside.p99];
                [&rates[..], &added, &[outside.p50]].concat()
            }
            Self::Loss => rates.map(|rate| rate * 1000.0).to_vec(),
            Self::OneCore | Self::SmallBuffers | Self::Start => rates.to_vec(),
        };
        lab.check()?;
        Ok(values)
    }

    fn plan(self, subject: Subject, round: u64) -> Plan {
        let program = match subject {
            Subject::Ours => Program::Ours,
            Subject::Baseline => Program::WireguardGo,
        };
        let plain = Plan {
            client: program,
            server: program,
            cores: [None, None],
            user: User::Root,
            lossy: None,
            file: FILE,
        };
        match self {
            Self::Server => Plan {
                server: Program::WireguardGo,
                ..plain
            },
            Self::OneCore => Plan {
                server: Program::Ours,
                cores: [Some("0"), Some("1")],
                ..plain
            },
            Self::Loss => Plan {
                // Both programs of a round lose the same datagrams.
                lossy: Some(round),
                file: FILE_OF_A_LOSSY_PATH,
                ..plain
            },
            Self::SmallBuffers => Plan {
                user: User::Ordinary,
                ..plain
            },
            Self::BothEnds | Self::Start => plain,
        }
    }
}
