//! `cargo xtask bench`: what the tiers take, always beside a baseline of the same run on the same machine.

mod load;
pub(crate) mod process;
mod ready;
mod stand_ins;
mod tier1;
mod tier2;
mod tunnel;

use clap::Subcommand;

/// What follows the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask bench tier1
  sudo -E cargo xtask bench tunnel";
/// What follows the help of each.
const TIER1_EXAMPLES: &str = "\
Examples:
  cargo xtask bench tier1
  cargo xtask bench tier1 --only reports                one part of it
  cargo xtask bench tier1 --connections 64 --rounds 1   a quick look under more load";
const TIER2_EXAMPLES: &str = "\
Examples:
  cargo xtask bench tier2
  cargo xtask bench tier2 --deployments 200             a quick run";
const TUNNEL_EXAMPLES: &str = "\
Examples, as root; -E keeps where cargo and Go are:
  sudo -E cargo xtask bench tunnel
  sudo -E cargo xtask bench tunnel --quick              whether all of it works";
const RESETS_EXAMPLES: &str = "\
Examples, as root; -E keeps where cargo and Go are:
  sudo -E cargo xtask bench resets
  sudo -E cargo xtask bench resets --quick              whether all of it works";

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Benchmark {
    /// What Tier 1 takes, beside bare routes: deploy requests with 100 and 10,000 cloudlets, reports with 100,000, both at once, clients near
    /// nine of ten cloudlets while the tenth hangs; its start and memory. Takes about five minutes.
    #[command(after_help = TIER1_EXAMPLES)]
    Tier1(tier1::Options),
    /// Deployments by Tier 2 on a control plane of their own, beside helm alone. Takes about ten minutes.
    #[command(after_help = TIER2_EXAMPLES)]
    Tier2(tier2::Options),
    /// The tunnel's data path, beside wireguard-go. Needs root, iproute2, util-linux and iperf3; takes about ten minutes.
    ///
    /// Everything runs in network namespaces of its own, which go with this program. While socket buffers of a stock kernel are measured,
    /// net.core.rmem_max and wmem_max of the host are lowered to those; they are raised again after it, and on Ctrl-C.
    #[command(after_help = TUNNEL_EXAMPLES)]
    Tunnel(tunnel::Options),
    /// How long devices hear nothing when Kilo resets their sessions because another device comes or goes: sinfonia-tier3 beside
    /// wireguard-go, on one gateway. Needs root, iproute2, nftables and util-linux; takes about eight minutes.
    ///
    /// The gateway has a network namespace of its own, and a pair of devices that connects it with the host; both go with this program.
    #[command(after_help = RESETS_EXAMPLES)]
    Resets(tunnel::resets::Options),
    /// Answers every deploy request at once, as a Tier 2 of no cost would.
    #[command(hide = true)]
    InstantTier2,
    /// Parses the JSON of every request, as the least that a Tier 1 has to do with a report.
    #[command(hide = true)]
    JsonRoute,
    /// Forwards every request to one address, as the least that a Tier 1 has to do.
    #[command(hide = true)]
    Forwarder {
        /// Where to, without trailing slash.
        target: String,
    },
    /// What the benchmark of the tunnel runs in processes of its own.
    #[command(hide = true, subcommand)]
    TunnelPart(tunnel::parts::Part),
}

pub(crate) fn run(benchmark: &Benchmark) -> anyhow::Result<()> {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
    };
    match benchmark {
        Benchmark::Tier1(options) => tier1::run(options, &runtime()?),
        Benchmark::Tier2(options) => tier2::run(options, &runtime()?),
        Benchmark::Tunnel(options) => tunnel::run(options, &runtime()?),
        Benchmark::Resets(options) => tunnel::resets::run(options, &runtime()?),
        Benchmark::InstantTier2 => runtime()?.block_on(stand_ins::instant_tier2()),
        Benchmark::JsonRoute => runtime()?.block_on(stand_ins::json_route()),
        Benchmark::Forwarder { target } => runtime()?.block_on(stand_ins::forwarder(target)),
        // Without a runtime, whose memory and threads would be measured as well.
        Benchmark::TunnelPart(part) => tunnel::parts::run(part),
    }
}
