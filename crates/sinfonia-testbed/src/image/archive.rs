//! An image as an archive: a tar of an OCI image layout.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tar::Builder;

use super::layer::{self, Layer, append, digest};
use super::{Compression, Image};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";

pub(super) fn write(image: &Image, archive: &Path, compression: Compression) -> io::Result<()> {
    let mut layer_file = archive.as_os_str().to_owned();
    layer_file.push(".layer");
    let written = write_beside(image, archive, Path::new(&layer_file), compression);
    // If nothing was written, there is nothing to remove.
    let _ = fs::remove_file(layer_file);
    written
}

fn write_beside(
    image: &Image,
    archive: &Path,
    layer_file: &Path,
    compression: Compression,
) -> io::Result<()> {
    let layer = layer::write(image, layer_file, compression)?;
    let configuration = Blob::new(CONFIGURATION, &configuration(image, &layer))?;
    let media_type = match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
    };
    let size = fs::metadata(layer_file)?.len();
    let layer_descriptor = descriptor(media_type, &layer.digest, size);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": configuration.descriptor(),
        "layers": [layer_descriptor],
    });
    let manifest = Blob::new(MANIFEST, &manifest)?;

    let mut tar = Builder::new(File::create(archive)?);
    let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
    append(&mut tar, "oci-layout", layout.as_bytes(), 0o644)?;
    let index = index(image, &manifest).to_string();
    append(&mut tar, "index.json", index.as_bytes(), 0o644)?;
    for blob in [&manifest, &configuration] {
        append(&mut tar, &path(&blob.digest), &blob.content, 0o644)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, path(&layer.digest), File::open(layer_file)?)?;
    tar.into_inner()?;
    Ok(())
}

/// A part of an image in JSON.
struct Blob {
    media_type: &'static str,
    content: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(media_type: &'static str, content: &Value) -> io::Result<Self> {
        let content = content.to_string().into_bytes();
        Ok(Self {
            media_type,
            digest: digest(&*content)?,
            content,
        })
    }

    fn descriptor(&self) -> Value {
        descriptor(self.media_type, &self.digest, self.content.len() as u64)
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn path(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// The list of what is in an archive. containerd and Docker name an image by the one annotation, others by the other.
fn index(image: &Image, manifest: &Blob) -> Value {
    let tag = image.name.rsplit_once(':').map_or("", |(_, tag)| tag);
    let mut descriptor = manifest.descriptor();
    descriptor["platform"] = json!({"architecture": architecture(), "os": "linux"});
    descriptor["annotations"] = json!({
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": tag,
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
}

fn configuration(image: &Image, layer: &Layer) -> Value {
    let variables = image.variables.iter();
    let variables: Vec<_> = variables
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut configuration = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": variables,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.content)]},
    });
    if !image.entrypoint.is_empty() {
        configuration["config"]["Entrypoint"] = json!(image.entrypoint);
    }
    if !image.labels.is_empty() {
        configuration["config"]["Labels"] = json!(image.labels);
    }
    configuration
}

/// The architecture of this machine, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
