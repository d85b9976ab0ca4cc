//! `cargo xtask image`: the container image as it is released, without a container engine.

use std::fs;
use std::path::{Path, PathBuf};

use anstream::{eprintln, println};
use anyhow::{Context, ensure};
use clap::Args;
use sinfonia_testbed::{Binaries, Compression, Image, NodePrograms, ProgramSet, Programs};

use crate::cargo::{DISTRIBUTION, build_for_distribution, programs, target, workspace};
use crate::testbed::build_sets;
use crate::version::history::Git;

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  Build the programs as they are released, and the image:
    cargo xtask image

  Put the image where a cluster of this machine finds it:
    k3s ctr images import $(cargo xtask image)

  Push it to a registry, without a container engine:
    skopeo copy oci-archive:$(cargo xtask image) docker://registry.example/sinfonia:test

  Write it somewhere else, from what was built before:
    cargo xtask image --no-build --output /tmp/sinfonia.tar

It holds sinfonia-tier1, -tier2, -tier3 and helm in /usr/local/bin, nft in /usr/sbin, what these are
linked to, and the certificate authorities of this machine; it runs as user 65532. What is on stdout
is the path of the archive. The command fails when a program or the image is too large.";

/// The version of the workspace, which is the image's tag.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What the image does, as the workspace's `description` says it.
const DESCRIPTION: &str = "Finds a nearby edge cluster for a device, deploys its backend there and connects the two with WireGuard";
/// What its labels begin with.
const LABELS: &str = "org.opencontainers.image.";
/// Holds the commit where there is no git, for the programs too.
const COMMIT_VARIABLE: &str = "SINFONIA_COMMIT";

const MEBIBYTE: u64 = 1 << 20;
/// The most that each of our programs may take.
const PROGRAM_LIMIT: u64 = 25 * MEBIBYTE;
/// The most that has to travel before a pod can start.
const IMAGE_LIMIT: u64 = 100 * MEBIBYTE;

/// Which image to make.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where to write the archive [default: target/sinfonia-VERSION-ARCHITECTURE.tar]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Takes the programs that are built already
    #[arg(long)]
    no_build: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.no_build {
        build_for_distribution()?;
    }
    build_sets([ProgramSet::Helm4])?;
    let binaries = Binaries::in_folder(&programs(DISTRIBUTION))?;
    let (helm, nft) = (Programs::helm_or_hint()?, NodePrograms::nft_or_hint()?);
    let output = options.output.clone().unwrap_or_else(default_output);
    let image = labelled(Image::of_sinfonia(VERSION, &binaries, &helm, &nft)?);
    image.write(&output, Compression::Gzip)?;

    let mut sizes = Vec::new();
    for program in [&binaries.tier1, &binaries.tier2, &binaries.tier3] {
        sizes.push(Size::of(program, PROGRAM_LIMIT)?);
    }
    sizes.push(Size::of(&output, IMAGE_LIMIT)?);
    eprintln!("{}", image.name());
    for size in &sizes {
        eprintln!("{}", size.line());
    }
    println!("{}", output.display());
    check(&sizes)
}

fn default_output() -> PathBuf {
    let architecture = std::env::consts::ARCH;
    target().join(format!("sinfonia-{VERSION}-{architecture}.tar"))
}

fn labelled(image: Image) -> Image {
    let revision = revision();
    labels(VERSION, revision.as_deref()).fold(image, |image, (name, text)| {
        image.label(&format!("{LABELS}{name}"), text)
    })
}

/// What tools show of the image, as `Dockerfile` says it. Without a time: equal programs make equal images.
fn labels<'a>(
    version: &'a str,
    revision: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    [
        ("title", "Sinfonia"),
        ("description", DESCRIPTION),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("url", env!("CARGO_PKG_REPOSITORY")),
        ("version", version),
    ]
    .into_iter()
    .chain(revision.map(|commit| ("revision", commit)))
}

/// The commit that is checked out, where somebody knows it.
fn revision() -> Option<String> {
    let given = std::env::var(COMMIT_VARIABLE).ok();
    let git = || Git::open(workspace()).ok()?.head().ok();
    given
        .filter(|commit| !commit.is_empty() && commit != "unknown")
        .or_else(git)
}

/// How large a file is, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Size {
    file: String,
    bytes: u64,
    limit: u64,
}

impl Size {
    fn of(path: &Path, limit: u64) -> anyhow::Result<Self> {
        let about =
            fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            file: name.to_string_lossy().into_owned(),
            bytes: about.len(),
            limit,
        })
    }

    fn line(&self) -> String {
        let Self { file, bytes, limit } = self;
        format!(
            "{:>7} MiB of {:>3}  {file}",
            mebibytes(*bytes),
            limit / MEBIBYTE
        )
    }
}

/// Fails where a file is larger than it may be.
fn check(sizes: &[Size]) -> anyhow::Result<()> {
    let large = sizes.iter().filter(|size| size.bytes > size.limit);
    let large: Vec<_> = large.map(|size| size.file.as_str()).collect();
    ensure!(large.is_empty(), "too large: {}", large.join(", "));
    Ok(())
}

/// A size with a tenth, rounded up, so that what is too large never looks as if it were not.
fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(MEBIBYTE);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_large_as_it_may_be_is_not_too_large() {
        let sizes = [
            size("sinfonia-tier1", PROGRAM_LIMIT, PROGRAM_LIMIT),
            size("image.tar", 1, IMAGE_LIMIT),
        ];

        check(&sizes).unwrap();
    }

    #[test]
    fn what_is_too_large_is_named() {
        let sizes = [
            size("sinfonia-tier1", PROGRAM_LIMIT + 1, PROGRAM_LIMIT),
            size("sinfonia-tier3", 1, PROGRAM_LIMIT),
            size("image.tar", 2 * IMAGE_LIMIT, IMAGE_LIMIT),
        ];

        let lines: Vec<_> = sizes.iter().map(Size::line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
           25.1 MiB of  25  sinfonia-tier1
            0.1 MiB of  25  sinfonia-tier3
          200.0 MiB of 100  image.tar
        ");
        let error = check(&sizes).unwrap_err();
        assert_eq!(error.to_string(), "too large: sinfonia-tier1, image.tar");
    }

    #[test]
    fn it_has_the_labels_of_the_dockerfile_but_for_the_time() {
        let label = |line: &'static str| {
            let (_, label) = line.split_once(LABELS)?;
            label.trim_end_matches(" \\").split_once('=')
        };
        let dockerfile: Vec<_> = include_str!("../../Dockerfile")
            .lines()
            .filter_map(label)
            .map(|(name, text)| (name, text.trim_matches('"')))
            .filter(|(name, _)| *name != "created")
            .collect();

        let labels: Vec<_> = labels("$VERSION", Some("$REVISION")).collect();

        assert_eq!(labels, dockerfile);
    }

    fn size(file: &str, bytes: u64, limit: u64) -> Size {
        Size {
            file: file.to_owned(),
            bytes,
            limit,
        }
    }
}
