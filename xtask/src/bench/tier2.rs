//! `cargo xtask bench tier2`.

mod bare_helm;
mod client;
mod jobs;
mod samples;
mod table;
mod world;

use anstream::{eprintln, println};
use clap::Args;
use tokio::runtime::Runtime;

use self::bare_helm::BareHelm;
use self::client::Client;
use self::samples::{Samples, at_once};
use self::table::{Row, Table};
use self::world::World;
use super::process::mebibytes;
use crate::cargo::build_for_measurements;
use crate::testbed::build_missing;

/// Deployments that are there when the first figures are taken.
const FEW: usize = 10;
/// Times that all clients together deploy once each.
const WAVES: usize = 3;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Deployments that are there in the end; 200 make a quick run.
    #[arg(long, default_value_t = 1000)]
    deployments: usize,
    /// First deploys one after the other, each followed by a bare helm install.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Clients that deploy at once, and bare installs at once.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Clients at once while the many deployments are made.
    #[arg(long, default_value_t = 8)]
    makers: usize,
    /// Repeated requests, one after the other.
    #[arg(long, default_value_t = 500)]
    repeats: usize,
    /// Seconds during which Tier 2 is watched at rest, and with its job runner at work.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

impl Options {
    /// All deployments, which are made in this order: few, one after the other, at once, many.
    fn total(&self) -> usize {
        let measured = FEW + self.rounds + WAVES * self.clients;
        self.deployments.max(measured)
    }
}

pub(crate) fn run(options: &Options, runtime: &Runtime) -> anyhow::Result<()> {
    // Only one per process; another benchmark's will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    build_missing(false)?;
    build_for_measurements()?;
    eprintln!("starting a control plane, Prometheus and Tier 2…");
    let mut world = World::start(options.total())?;
    let mut table = Table::default();
    runtime.block_on(requests(options, &world, &mut table))?;
    jobs::measure(options, &mut world, &mut table)?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores, {} first deploys one after the other, {} at once, {} repeated requests\n\n{table}",
        options.rounds,
        WAVES * options.clients,
        options.repeats
    );
    Ok(())
}

/// What devices notice, and the memory that it takes.
async fn requests(options: &Options, world: &World, table: &mut Table) -> anyhow::Result<()> {
    let client = Client::of(world.tier2())?;
    let helm = BareHelm::new(world)?;
    eprintln!("{FEW} deployments to begin with…");
    for index in 0..FEW {
        client.deploy(index).await?;
        helm.install(&helm.prepare()?).await?;
    }
    let few = AtRest::measure(options, world, &client).await?;
    table.push(few.repeats.row(
        &format!("a repeated request, {FEW} deployments"),
        "`GET /` of the same server",
        &few.bare,
    ));

    let (ours, bare) = one_by_one(options, &client, &helm).await?;
    table.push(ours.row(
        "a first deploy, until it is ready",
        "`helm install` alone",
        &bare,
    ));
    let bare_per_second = waves(options, &client, &helm, table).await?;

    let made = FEW + options.rounds + WAVES * options.clients;
    let left = options.total() - made;
    eprintln!("{left} more deployments, {} at once…", options.makers);
    let filling = at_once(options.makers, made..options.total(), async |index| {
        client.deploy(index).await
    });
    let filling = filling.await?;
    table.push(filling.rate_row(
        &format!(
            "{left} more deployments, {} clients at once",
            options.makers
        ),
        &format!("{} × `helm install` alone", options.clients),
        bare_per_second,
    ));
    let many = AtRest::measure(options, world, &client).await?;
    table.push(many.repeats.row(
        &format!("a repeated request, {} deployments", options.total()),
        &format!("with {FEW}"),
        &few.repeats,
    ));
    table.push(Row::of(
        &format!("memory with {} deployments", options.total()),
        (many.mebibytes, "MiB"),
        &format!("with {FEW}"),
        few.mebibytes,
    ));
    Ok(())
}

/// First deploys one after the other, in turns with bare installs.
async fn one_by_one(
    options: &Options,
    client: &Client,
    helm: &BareHelm,
) -> anyhow::Result<(Samples, Samples)> {
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for round in 0..options.rounds {
        if round % 10 == 0 {
            eprintln!("first deploys: round {round} of {}", options.rounds);
        }
        let name = helm.prepare()?;
        ours.push(client.deploy(FEW + round).await?);
        bare.push(helm.install(&name).await?);
    }
    Ok((ours, bare))
}

/// First deploys at once, in turns with bare installs at once; gives the installs' rate.
async fn waves(
    options: &Options,
    client: &Client,
    helm: &BareHelm,
    table: &mut Table,
) -> anyhow::Result<f64> {
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for wave in 0..WAVES {
        eprintln!("{} at once: wave {} of {WAVES}", options.clients, wave + 1);
        let first = FEW + options.rounds + wave * options.clients;
        let keys = first..first + options.clients;
        ours.add(
            at_once(options.clients, keys, async |index| {
                client.deploy(index).await
            })
            .await?,
        );
        let names = (0..options.clients).map(|_| helm.prepare());
        let names = names.collect::<Result<Vec<_>, _>>()?;
        bare.add(
            at_once(options.clients, names, async |name| {
                helm.install(&name).await
            })
            .await?,
        );
    }
    let what = format!("{} first deploys at once", options.clients);
    let baseline = format!("{} × `helm install` alone", options.clients);
    table.push(ours.row(&what, &baseline, &bare));
    table.push(ours.rate_row(&what, &baseline, bare.per_second()));
    Ok(bare.per_second())
}

/// Figures of a Tier 2 that has nothing else to do.
struct AtRest {
    repeats: Samples,
    bare: Samples,
    mebibytes: f64,
}

impl AtRest {
    async fn measure(options: &Options, world: &World, client: &Client) -> anyhow::Result<Self> {
        eprintln!("repeated requests…");
        // What the deployments before have left to do is not of these requests.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let (mut repeats, mut bare) = (Samples::default(), Samples::default());
        for _ in 0..options.repeats {
            repeats.push(client.deploy(0).await?);
            bare.push(client.probe().await?);
        }
        Ok(Self {
            repeats,
            bare,
            mebibytes: mebibytes(world.tier2().process_id())?,
        })
    }
}
