//! The files of an image, as its one layer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{Compression, Image};

/// A layer that is written.
pub(super) struct Layer {
    /// Digest of its files, by which an image knows it.
    pub(super) content: String,
    /// Digest of it as it is written.
    pub(super) digest: String,
}

/// Writes the layer of an image into a file.
pub(super) fn write(image: &Image, path: &Path, compression: Compression) -> io::Result<Layer> {
    let file = BufWriter::new(File::create(path)?);
    let content = match compression {
        Compression::None => {
            let (hashing, content) = archive(image, file)?;
            hashing
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            content
        }
        Compression::Gzip => {
            let gzip = GzEncoder::new(file, flate2::Compression::best());
            let (gzip, content) = archive(image, gzip)?;
            let file = gzip.finish()?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?;
            content
        }
    };
    let digest = match compression {
        Compression::None => content.clone(),
        Compression::Gzip => digest(File::open(path)?)?,
    };
    Ok(Layer { content, digest })
}

/// The SHA-256 of what can be read, in hexadecimal digits.
pub(super) fn digest(mut content: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut content, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn archive<W: Write>(image: &Image, output: W) -> io::Result<(W, String)> {
    let mut tar = Builder::new(Hashing {
        output,
        hash: Sha256::new(),
    });
    let mut libraries = BTreeSet::new();
    for (program, path) in &image.programs {
        append(&mut tar, path, &read(program)?, 0o755)?;
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        append(&mut tar, &library, &read(Path::new(&library))?, 0o755)?;
    }
    for (path, content) in &image.files {
        append(&mut tar, path, content, 0o644)?;
    }
    for folder in &image.folders {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o1777);
        tar.append_data(&mut header, folder.trim_start_matches('/'), io::empty())?;
    }
    let Hashing { output, hash } = tar.into_inner()?;
    Ok((output, hex(&hash.finalize())))
}

/// Hashes what it writes.
struct Hashing<W> {
    output: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Adds a file, which belongs to root and has no time, so that equal files make equal archives.
pub(super) fn append<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path.trim_start_matches('/'), content)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The shared libraries of a program, none where it is linked statically.
fn libraries_of(program: &Path) -> io::Result<Vec<String>> {
    let told = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(libraries.map(str::to_owned).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
