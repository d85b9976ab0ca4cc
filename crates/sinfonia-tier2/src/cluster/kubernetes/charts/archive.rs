//! Whether bytes are the chart that was asked for.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::recipe::{ChartReference, ChartVersion};
use sinfonia_core::yaml;
use tar::Archive;

/// Most bytes of a chart, unpacked.
const UNPACKED_BYTES: u64 = 64 * 1024 * 1024;
/// Most files and folders in a chart, those of the charts in it included.
const ENTRIES: usize = 10_000;
/// Most bytes of a Chart.yaml.
const METADATA_BYTES: u64 = 1024 * 1024;

/// Why bytes are not the chart that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("it is not a packed chart (.tgz)")]
    Format(#[source] io::Error),
    #[error("it is larger than {UNPACKED_BYTES} bytes, unpacked")]
    TooLarge,
    #[error("it has more than {ENTRIES} files")]
    TooMany,
    #[error("it has no Chart.yaml")]
    NoMetadata,
    #[error("it has more than one Chart.yaml")]
    Ambiguous,
    #[error("its Chart.yaml is malformed")]
    Metadata(#[source] Diagnostic),
    #[error("it is chart `{0}`")]
    Name(String),
    #[error("it is version `{0}`")]
    Version(String),
}

/// The name and version that a chart must bear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    name: String,
    version: String,
}

/// What a Chart.yaml says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

impl Expected {
    /// A chart bears the last part of its reference.
    pub(super) fn new(reference: &ChartReference, version: &ChartVersion) -> Self {
        let path = match reference {
            ChartReference::Path(path) => path,
            ChartReference::Https(url) | ChartReference::Oci(url) => url.path(),
        };
        let path = path.trim_end_matches('/');
        Self {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            version: version.to_string(),
        }
    }
}

/// Checks that these bytes are the chart that was asked for. Everything is unpacked, in passing, so that helm will not meet a surprise.
pub(super) fn check(bytes: &[u8], expected: &Expected) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(Bounded {
        inner: MultiGzDecoder::new(bytes),
        left: UNPACKED_BYTES,
    });
    let read = metadata(&mut archive);
    let mut rest = archive.into_inner();
    let metadata = match read {
        // What follows the archive's end is unpacked as well by whoever reads on.
        Ok(metadata) => io::copy(&mut rest, &mut io::sink())
            .map_err(ArchiveError::Format)
            .and(Ok(metadata)),
        Err(error) => Err(error),
    };
    if rest.left == 0 {
        return Err(ArchiveError::TooLarge);
    }
    let found: Metadata = yaml::document(&metadata?).map_err(ArchiveError::Metadata)?;
    if found.name != expected.name {
        return Err(ArchiveError::Name(shorten(&found.name)));
    }
    // helm takes a version with and without the `v` for the same.
    let plain = |version: &str| version.strip_prefix('v').unwrap_or(version).to_owned();
    if plain(&found.version) != plain(&expected.version) {
        return Err(ArchiveError::Version(shorten(&found.version)));
    }
    Ok(())
}

/// The text of the chart's own Chart.yaml, which lies in its outermost folder.
fn metadata(archive: &mut Archive<impl Read>) -> Result<String, ArchiveError> {
    let mut found = None;
    for (number, entry) in archive.entries().map_err(ArchiveError::Format)?.enumerate() {
        let entry = entry.map_err(ArchiveError::Format)?;
        if number >= ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        if !is_metadata(&entry.path_bytes()) || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut text = String::new();
        entry
            .take(METADATA_BYTES)
            .read_to_string(&mut text)
            .map_err(ArchiveError::Format)?;
        if found.replace(text).is_some() {
            return Err(ArchiveError::Ambiguous);
        }
    }
    found.ok_or(ArchiveError::NoMetadata)
}

/// Whether a path is that of a file in the outermost folder.
fn is_metadata(path: &[u8]) -> bool {
    path.ends_with(b"/Chart.yaml") && path.iter().filter(|byte| **byte == b'/').count() == 1
}

fn shorten(text: &str) -> String {
    text.escape_default().take(80).collect()
}

/// A reader that fails once it was read too far.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("it is too large"));
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}
