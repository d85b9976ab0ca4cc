//! Container images made of files of this machine, without a registry and without an engine.

mod archive;
mod layer;
mod sinfonia;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where programs are found in an image.
const PATH: &str = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// A container image of one layer. Equal files make equal images.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    programs: Vec<(PathBuf, String)>,
    files: Vec<(String, Vec<u8>)>,
    folders: Vec<String>,
    entrypoint: Vec<String>,
    user: String,
    variables: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

/// How an image's layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is: quick, for those that are used on this machine.
    None,
    /// As small as gzip makes it: for those that travel.
    Gzip,
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
            variables: [("PATH".to_owned(), PATH.to_owned())].into(),
            labels: BTreeMap::new(),
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

    /// Sets a variable of what runs in it; `PATH` is set already.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Says something about it under a name such as `org.opencontainers.image.version`.
    #[must_use]
    pub fn label(mut self, name: &str, text: &str) -> Self {
        self.labels.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Writes it as an OCI archive for this machine's architecture, which `ctr images import`, `podman load`, `skopeo copy oci-archive:…` and
    /// others read. While it is written, a file beside it holds the layer.
    ///
    /// # Errors
    /// A program is not there, or the archive cannot be written.
    pub fn write(&self, archive: &Path, compression: Compression) -> Result<(), ImageError> {
        archive::write(self, archive, compression).map_err(|source| ImageError {
            image: self.name.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
