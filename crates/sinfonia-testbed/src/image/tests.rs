use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;
use rstest::rstest;
use serde_json::Value;
use tar::Archive;

use super::layer::digest;
use super::*;
use crate::TestFolder;

#[rstest]
#[case::as_it_is(Compression::None, "application/vnd.oci.image.layer.v1.tar")]
#[case::compressed(Compression::Gzip, "application/vnd.oci.image.layer.v1.tar+gzip")]
fn an_archive_leads_from_its_index_to_the_files(
    #[case] compression: Compression,
    #[case] media_type: &str,
) {
    let archive = written(&image(), compression);

    let index = json(&archive["index.json"]);
    let manifest_descriptor = &index["manifests"][0];
    let annotations = &manifest_descriptor["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "example.org/a:1");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "1");
    let manifest = json(blob(&archive, manifest_descriptor));
    let configuration = json(blob(&archive, &manifest["config"]));
    let layer_descriptor = &manifest["layers"][0];
    let layer = blob(&archive, layer_descriptor);
    let layer = match compression {
        Compression::None => layer.clone(),
        Compression::Gzip => {
            let mut bytes = Vec::new();
            GzDecoder::new(&**layer).read_to_end(&mut bytes).unwrap();
            bytes
        }
    };

    assert_eq!(layer_descriptor["mediaType"], media_type);
    let content = format!("sha256:{}", digest(&*layer).unwrap());
    assert_eq!(configuration["rootfs"]["diff_ids"][0], content);
    let expected = serde_json::json!({
        "User": "101",
        "Env": ["HOME=/tmp", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Entrypoint": ["/bin/a"],
        "Labels": {"org.opencontainers.image.title": "A"},
    });
    assert_eq!(configuration["config"], expected);
    let files = [
        ("etc/a".to_owned(), b"text".to_vec()),
        ("tmp".to_owned(), Vec::new()),
    ];
    assert_eq!(entries(&*layer), files.into());
}

#[test]
fn equal_files_make_equal_archives() {
    let [first, second] = [(); 2].map(|()| written(&image(), Compression::Gzip));

    assert_eq!(first, second);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = TestFolder::new().unwrap();
    let image = Image::new("example.org/a:1").program(Path::new("/nowhere/a"), "/bin/a");

    let error = image
        .write(&folder.path().join("a.tar"), Compression::None)
        .unwrap_err();

    assert_eq!(error.to_string(), "cannot make the image example.org/a:1");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("/nowhere/a: "), "{source}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0);
}

fn image() -> Image {
    Image::new("example.org/a:1")
        .file("/etc/a", "text")
        .folder("/tmp")
        .user("101")
        .entrypoint(&["/bin/a"])
        .variable("HOME", "/tmp")
        .label("org.opencontainers.image.title", "A")
}

fn written(image: &Image, compression: Compression) -> BTreeMap<String, Vec<u8>> {
    let folder = TestFolder::new().unwrap();
    let path = folder.path().join("a.tar");
    image.write(&path, compression).unwrap();
    entries(File::open(path).unwrap())
}

/// The content of what a descriptor means, which has to be as the descriptor says.
fn blob<'a>(archive: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a Vec<u8> {
    let named = descriptor["digest"].as_str().unwrap();
    let blob = &archive[&format!("blobs/{}", named.replace(':', "/"))];
    assert_eq!(named, format!("sha256:{}", digest(&**blob).unwrap()));
    assert_eq!(descriptor["size"], blob.len());
    blob
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn entries(tar: impl Read) -> BTreeMap<String, Vec<u8>> {
    let mut archive = Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        (path, content)
    });
    entries.collect()
}
