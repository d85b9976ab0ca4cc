//! What axe-core finds that would shut people out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sinfonia_testbed::cache_folder;
use tar::Archive;
use tokio::sync::OnceCell;

use super::browser::Browser;

/// Deque's rules of accessibility, as npm has them.
const PACKAGE: &str = "axe-core@4.14.1";
const SHA_256: [u8; 32] = [
    0xe6, 0xb0, 0xce, 0x02, 0xb8, 0x4d, 0x89, 0x2e, 0x2e, 0x33, 0xe4, 0x03, 0x48, 0x5e, 0x7f, 0x3d,
    0x6c, 0x29, 0xe2, 0xbe, 0x6d, 0xf6, 0x5d, 0xaf, 0x44, 0xd8, 0x9b, 0xa5, 0x64, 0x13, 0x97, 0x45,
];
/// What is wanted of it.
const SCRIPT: &str = "package/axe.min.js";

/// Finds what breaks a rule, and gives those faults that are serious or worse.
const FIND: &str = "const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(
        violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
            .map(({ id, nodes }) => [id, ...nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`)])
    ), (error) => done(String(error)))";

/// The serious faults of the page as it is.
pub(super) async fn serious_faults(browser: &Browser) -> Value {
    static AXE: OnceCell<String> = OnceCell::const_new();
    let axe = AXE.get_or_init(async || script()).await;
    browser.run(axe).await;
    browser.run_async(FIND).await
}

fn script() -> String {
    let package = cache_folder().join(format!("{PACKAGE}.tgz"));
    if !package.is_file() {
        fetch(&package);
    }
    let bytes = fs::read(&package).unwrap();
    let digest = Sha256::digest(&bytes);
    assert_eq!(
        digest[..],
        SHA_256,
        "{} is not the one that is wanted",
        package.display()
    );
    let mut archive = Archive::new(GzDecoder::new(&bytes[..]));
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries
        .find(|entry| entry.path().unwrap() == Path::new(SCRIPT))
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
    text
}

/// Fetches the package into the cache, whole or not at all.
fn fetch(package: &Path) {
    let folder = package.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    let new = tempfile::tempdir_in(folder).unwrap();
    let mut command = Command::new("npm");
    command
        .args(["pack", "--silent", PACKAGE, "--pack-destination"])
        .arg(new.path());
    let done = command.output();
    let done =
        done.unwrap_or_else(|error| panic!("cannot run npm: {error}\nhint: apt install npm"));
    assert!(
        done.status.success(),
        "npm cannot fetch {PACKAGE}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let fetched: Vec<PathBuf> = fs::read_dir(new.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    fs::rename(&fetched[0], package).unwrap();
}
