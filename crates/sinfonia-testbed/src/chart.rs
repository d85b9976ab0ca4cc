//! Small Helm charts of the tests' own.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

/// Writes `<name>-<version>.tgz` into a folder: a chart of these further files, such as `("templates/service.yaml", …)`.
///
/// # Errors
/// The file cannot be written.
pub fn write_chart(
    folder: &Path,
    name: &str,
    version: &str,
    files: &[(&str, &str)],
) -> io::Result<()> {
    let file = File::create(folder.join(format!("{name}-{version}.tgz")))?;
    let mut archive = Builder::new(GzEncoder::new(file, Compression::fast()));
    let about = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    for (path, text) in [("Chart.yaml", about.as_str())].iter().chain(files) {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{name}/{path}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.sync_all()
}
