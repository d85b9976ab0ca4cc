//! Sinfonia's own image: what is in it, for those that are released and for those of tests alike.

use std::io;
use std::path::Path;

use super::{Image, ImageError};
use crate::Binaries;

/// Its name, without a tag, as Sinfonia's chart calls it.
const NAME: &str = "ghcr.io/cmusatyalab/sinfonia";
/// The certificate authorities that are trusted, on this machine and in the image.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where helm, Tier 2 and Tier 3 keep files.
const HOME: &str = "/var/cache/sinfonia";
/// As whom it runs.
const USER: &str = "\
root:x:0:0:root:/:/usr/sbin/nologin
sinfonia:x:65532:65532:sinfonia:/var/cache/sinfonia:/usr/sbin/nologin
";
const GROUP: &str = "root:x:0:\nsinfonia:x:65532:\n";
const LICENSE: &str = include_str!("../../../../LICENSE");

impl Image {
    /// Sinfonia's image of this tag: the programs of a build, helm, nft for the guard, and the certificate authorities of this machine. It
    /// runs as an ordinary user and has no entry point; charts say which of the programs they run.
    ///
    /// # Errors
    /// This machine has no certificate authorities.
    pub fn of_sinfonia(
        tag: &str,
        binaries: &Binaries,
        helm: &Path,
        nft: &Path,
    ) -> Result<Self, ImageError> {
        let image = Self::new(&format!("{NAME}:{tag}"));
        let authorities = std::fs::read(AUTHORITIES).map_err(|error| ImageError {
            image: image.name.clone(),
            source: io::Error::new(
                error.kind(),
                format!("{AUTHORITIES}: {error}\nhint: apt-get install ca-certificates"),
            ),
        })?;
        Ok(image
            .program(&binaries.tier1, "/usr/local/bin/sinfonia-tier1")
            .program(&binaries.tier2, "/usr/local/bin/sinfonia-tier2")
            .program(&binaries.tier3, "/usr/local/bin/sinfonia-tier3")
            .program(helm, "/usr/local/bin/helm")
            .program(nft, "/usr/sbin/nft")
            .file(AUTHORITIES, authorities)
            .file("/etc/passwd", USER)
            .file("/etc/group", GROUP)
            .file("/usr/share/doc/sinfonia/LICENSE", LICENSE)
            .folder("/tmp")
            .folder(HOME)
            .variable("HOME", HOME)
            .variable("SINFONIA_CACHE", HOME))
    }
}
