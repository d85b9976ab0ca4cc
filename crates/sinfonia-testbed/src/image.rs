//! Container images made of files of this machine, without a registry and without an engine.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the image {image}")]
pub struct ImageError {
    /// Its name.
    image: String,
    /// What went wrong.
    #[source]
    source: io::Error,
}

/// A container image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    programs: Vec<(PathBuf, String)>,
    files: Vec<(String, Vec<u8>)>,
    folders: Vec<String>,
    entrypoint: Vec<String>,
    user: String,
}

impl Image {
    /// An empty image. A name is given in full, as `docker.io/library/nginx:1.2`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            programs: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
            entrypoint: Vec::new(),
            user: "65532:65532".to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a program of this machine at an absolute path, with the libraries that it is linked to.
    #[must_use]
    pub fn program(mut self, program: &Path, path: &str) -> Self {
        self.programs.push((program.to_owned(), path.to_owned()));
        self
    }

    /// Puts a file that all can read at an absolute path.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Makes an empty folder that all can write to.
    #[must_use]
    pub fn folder(mut self, path: &str) -> Self {
        self.folders.push(path.to_owned());
        self
    }

    /// Says what it runs.
    #[must_use]
    pub fn entrypoint(mut self, command: &[&str]) -> Self {
        self.entrypoint = command.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Says as whom it runs, in numbers; by default an ordinary user, 65532.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Writes it as an archive that `ctr images import`, `docker load` and others read.
    ///
    /// # Errors
    /// A program is not there, or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<(), ImageError> {
        self.try_write(archive).map_err(|source| ImageError {
            image: self.name.clone(),
            source,
        })
    }

    fn try_write(&self, archive: &Path) -> io::Result<()> {
        let layer = archive.with_extension("layer");
        self.write_layer(&layer)?;
        let digest = digest(&layer)?;
        let configuration = self.configuration(&digest).to_string().into_bytes();
        let configuration_file = format!("{}.json", hex(&Sha256::digest(&configuration)));
        let manifest = json!([{
            "Config": configuration_file,
            "RepoTags": [self.name],
            "Layers": ["layer.tar"],
        }]);
        let mut tar = Builder::new(File::create(archive)?);
        append(
            &mut tar,
            "manifest.json",
            manifest.to_string().as_bytes(),
            0o644,
        )?;
        append(&mut tar, &configuration_file, &configuration, 0o644)?;
        tar.append_file("layer.tar", &mut File::open(&layer)?)?;
        tar.into_inner()?;
        fs::remove_file(layer)
    }

    fn write_layer(&self, layer: &Path) -> io::Result<()> {
        let mut tar = Builder::new(File::create(layer)?);
        let mut libraries = BTreeSet::new();
        for (program, path) in &self.programs {
            append(&mut tar, path, &fs::read(program)?, 0o755)?;
            libraries.extend(libraries_of(program)?);
        }
        for library in libraries {
            append(&mut tar, &library, &fs::read(&library)?, 0o755)?;
        }
        for (path, content) in &self.files {
            append(&mut tar, path, content, 0o644)?;
        }
        for folder in &self.folders {
            let mut header = Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o1777);
            tar.append_data(&mut header, folder.trim_start_matches('/'), io::empty())?;
        }
        tar.into_inner()?;
        Ok(())
    }

    fn configuration(&self, layer: &str) -> Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": self.user,
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
            "history": [{"created_by": "the test bed"}],
        })
    }
}

fn append(tar: &mut Builder<File>, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path.trim_start_matches('/'), content)
}

/// The shared libraries of a program, none where it is linked statically.
fn libraries_of(program: &Path) -> io::Result<Vec<String>> {
    let told = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(libraries.map(str::to_owned).collect())
}

fn digest(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(file)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
