//! `cargo xtask bench`: what the tiers take, always beside a baseline of the same run on the same machine.

mod load;
mod stand_ins;
mod tier1;
mod tier2;

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Benchmark {
    /// Deploy requests through Tier 1 with 100 and 10,000 cloudlets, beside a bare route that forwards.
    Tier1(tier1::Options),
    /// Deployments by Tier 2 on a control plane of their own, beside helm alone. Takes about ten minutes.
    Tier2(tier2::Options),
    /// Answers every deploy request at once, as a Tier 2 of no cost would.
    #[command(hide = true)]
    InstantTier2,
    /// Forwards every request to one address, as the least that a Tier 1 has to do.
    #[command(hide = true)]
    Forwarder {
        /// Where to, without trailing slash.
        target: String,
    },
}

pub(crate) fn run(benchmark: &Benchmark) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match benchmark {
        Benchmark::Tier1(options) => tier1::run(options, &runtime),
        Benchmark::Tier2(options) => tier2::run(options, &runtime),
        Benchmark::InstantTier2 => runtime.block_on(stand_ins::instant_tier2()),
        Benchmark::Forwarder { target } => runtime.block_on(stand_ins::forwarder(target)),
    }
}
