//! A repository in a folder, charts to put into it, and a cache.

use std::fs;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use wiremock::MockServer;

use super::super::*;
use crate::cluster::kubernetes::helm::HelmSettings;

pub(super) struct World(pub(super) TempDir);

pub(super) struct TestCharts(Charts);

impl TestCharts {
    pub(super) async fn get(&self, chart: &str, at: &str) -> Result<Chart, ChartError> {
        self.0.get(&reference(chart), &version(at)).await
    }

    pub(super) fn forget_soon(&self) {
        for slot in self.0.slots.lock().unwrap().values() {
            slot.known().believed_until = None;
        }
    }
}

impl World {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("recipes")).unwrap();
        Self(folder)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.0.path().join("recipes")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn fake_helm(&self, script: &str) {
        // Another process writes it: one that we hold open for writing cannot be run.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let written = std::process::Command::new("/bin/sh")
            .args(["-c", write])
            .args([self.0.path().join("helm").as_os_str(), script.as_ref()])
            .status();
        assert!(written.unwrap().success());
    }

    pub(super) fn folder(&self) -> TestCharts {
        self.charts(RecipeSource::Folder(self.root()))
    }

    pub(super) fn http(&self, server: &MockServer) -> TestCharts {
        self.charts(server.uri().parse().unwrap())
    }

    pub(super) fn charts(&self, source: RecipeSource) -> TestCharts {
        let helm = Helm::new(HelmSettings {
            program: self.0.path().join("helm"),
            home: self.0.path().join("home"),
            concurrency: 1,
            timeout: Duration::from_secs(5),
            kubeconfig: None,
            context: None,
        });
        let settings = sinfonia_service::client::ClientSettings::new("test");
        let client = sinfonia_service::client::build(&settings).unwrap();
        let helm = Arc::new(helm.unwrap());
        TestCharts(Charts::new(source, client, self.cache(), helm).unwrap())
    }
}

pub(super) fn reference(text: &str) -> ChartReference {
    text.parse().unwrap()
}

pub(super) fn version(text: &str) -> ChartVersion {
    text.parse().unwrap()
}

pub(super) fn chart(name: &str, version: &str) -> Vec<u8> {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    packed(&[(&format!("{name}/Chart.yaml"), &metadata)])
}

pub(super) fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

pub(super) fn bomb() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    let size = 100 * 1024 * 1024;
    header.set_size(size);
    header.set_mode(0o644);
    let zeros = std::io::Read::take(std::io::repeat(0), size);
    archive
        .append_data(&mut header, "example/zeros", zeros)
        .unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}
