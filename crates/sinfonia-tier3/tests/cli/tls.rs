//! A Tier 1 behind https whose certificate a private authority has signed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::device::Device;

#[tokio::test]
async fn an_authority_that_is_named_is_trusted() {
    let device = Device::new().await;
    let tier1 = serve(&device, "127.0.0.1");

    insta::assert_snapshot!(run(&device, tier1, "--ca-file authority.pem"), @r"
    exit 0
    -- stdout
    -- stderr
    deleted helloworld
    ");
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_trusted() {
    let device = Device::new().await;
    let tier1 = serve(&device, "127.0.0.1");

    insta::assert_snapshot!(run(&device, tier1, ""), @r"
    exit 1
    -- stdout
    -- stderr
    error: cannot reach Tier 1 at https://secure: invalid peer certificate: UnknownIssuer
    hint: if you trust it, name its authority's certificate: --ca-file FILE
    ");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_a_matter_of_trust() {
    let device = Device::new().await;
    let tier1 = serve(&device, "tier1.example");

    let told = run(&device, tier1, "--ca-file authority.pem");

    assert!(told.starts_with("exit 1\n"), "{told}");
    assert!(
        told.ends_with("hint: check the host in Tier 1's URL and this device's clock; see what it shows: curl -v https://secure/\n"),
        "{told}"
    );
}

fn run(device: &Device, tier1: SocketAddr, options: &str) -> String {
    device
        .run(&format!(
            "delete helloworld --tier1-url https://{tier1} {options}"
        ))
        .replace(&tier1.to_string(), "secure")
}

/// Grants the next request, with a certificate for this host whose authority is written to `authority.pem`.
fn serve(device: &Device, host: &str) -> SocketAddr {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    fs::write(device.folder().join("authority.pem"), certificate.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([host.to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || grant(&listener, config));
    address
}

/// Ends early where the other side does not trust the certificate.
fn grant(listener: &TcpListener, config: ServerConfig) -> Option<()> {
    let (stream, _) = listener.accept().ok()?;
    let connection = ServerConnection::new(Arc::new(config)).ok()?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    reader
        .get_mut()
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .ok()
}
