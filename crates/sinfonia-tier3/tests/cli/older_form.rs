//! The older form of the command line.

use std::fs;

use rqrr::PreparedImage;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::device::{Device, HELLOWORLD, answer, mode, ready};

#[tokio::test]
async fn config_debug_writes_two_files_and_stops() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;
    let line = format!(
        "--config-debug {} {HELLOWORLD} curl --help",
        device.tier1.uri()
    );

    insta::assert_snapshot!(device.run(&line), @r"
    exit 0
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    wrote wg.conf and resolv.conf
    ");
    let file = |name: &str| device.folder().join(name);
    insta::assert_snapshot!(fs::read_to_string(file("wg.conf")).unwrap(), @r"
    [Interface]
    PrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=

    [Peer]
    PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
    AllowedIPs = 0.0.0.0/0
    Endpoint = 203.0.113.7:51820
    PersistentKeepalive = 10
    ");
    insta::assert_snapshot!(fs::read_to_string(file("resolv.conf")).unwrap(), @r"
    nameserver 10.43.0.10
    search brave-otter-x7k2p.svc.cluster.local svc.cluster.local
    options ndots:5
    ");
    assert_eq!(
        (mode(&file("wg.conf")), mode(&file("resolv.conf"))),
        (0o600, 0o644)
    );
}

#[tokio::test]
async fn config_debug_replaces_files_that_stood_open() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;
    fs::write(device.folder().join("wg.conf"), "old").unwrap();

    device.run(&format!("--config-debug {} helloworld", device.tier1.uri()));

    assert_eq!(mode(&device.folder().join("wg.conf")), 0o600);
}

#[tokio::test]
async fn a_failure_writes_no_file() {
    let device = Device::new().await;
    device.deploys(ResponseTemplate::new(503)).await;

    let told = device.run(&format!("--config-debug {} helloworld", device.tier1.uri()));

    assert!(told.starts_with("exit 1"), "{told}");
    assert!(!device.folder().join("wg.conf").exists());
}

#[tokio::test]
async fn a_phone_scans_the_tunnel_for_its_applications() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;
    let line = format!(
        "--qrcode compact {} helloworld org.example.one org.example.two",
        device.tier1.uri()
    );

    let told = device.run(&line);

    let (picture, stderr) = told
        .strip_prefix("exit 0\n-- stdout\n")
        .and_then(|told| told.split_once("-- stderr\n"))
        .unwrap();
    insta::assert_snapshot!(stderr, @r"
    deploying helloworld through http://tier1…
    the code holds this device's private key: whoever scans it takes over the tunnel
    ");
    insta::assert_snapshot!(scan(picture), @r"
    [Interface]
    PrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=
    Address = 10.5.17.4
    DNS = 10.43.0.10, brave-otter-x7k2p.svc.cluster.local, svc.cluster.local
    IncludedApplications = org.example.one, org.example.two

    [Peer]
    PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
    AllowedIPs = 0.0.0.0/0
    Endpoint = 203.0.113.7:51820
    PersistentKeepalive = 10
    ");
}

#[tokio::test]
async fn what_is_no_application_of_a_phone_is_refused_before_anything_is_deployed() {
    let device = Device::new().await;
    let url = device.tier1.uri();

    insta::assert_snapshot!(device.run(&format!("--qrcode alt {url} helloworld --help")), @r"
    exit 1
    -- stdout
    -- stderr
    error: `--help` is no identifier of an Android application
    hint: after the uuid stand identifiers such as org.example.game, or nothing for all applications
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[tokio::test]
async fn what_a_tier_1_alone_knows_is_not_asked_of_a_found_cloudlet() {
    let device = Device::new().await;

    insta::assert_snapshot!(device.run("candidates helloworld --zeroconf"), @r"
    exit 1
    -- stdout
    -- stderr
    error: a cloudlet that is found on the local network (--zeroconf) does not know that
    hint: ask a Tier 1: --tier1-url https://tier1.example, without --zeroconf
    ");
    assert_eq!(device.asked().await, [""; 0]);
}

#[tokio::test]
async fn mistakes_are_told() {
    let device = Device::new().await;
    let url = device.tier1.uri();

    insta::assert_snapshot!(device.run(&format!("--config-debug {url}")), @r"
    exit 1
    -- stdout
    -- stderr
    error: the URL of Tier 1 or the uuid of the application is missing
    hint: the order is: sinfonia-tier3 [options] <tier1-url> <uuid> [application args]
    ");
    insta::assert_snapshot!(device.run(&format!("--config-debug {url} nonsense")), @r"
    exit 1
    -- stdout
    -- stderr
    error: `nonsense` is neither the uuid of a recipe nor helloworld
    hint: the order is: sinfonia-tier3 [options] <tier1-url> <uuid> [application args]
    ");
    insta::assert_snapshot!(device.run("--config-debug localhost:5000 helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: `localhost:5000` is not a URL: http:// or https:// is missing
    hint: write http://localhost:5000 or https://localhost:5000
    ");
    insta::assert_snapshot!(device.run("--config-debug"), @r"
    exit 1
    -- stdout
    -- stderr
    error: the URL of Tier 1 or the uuid of the application is missing
    hint: the order is: sinfonia-tier3 [options] <tier1-url> <uuid> [application args]
    ");
}

/// What a camera reads from half blocks, of which the filled ones are light.
fn scan(picture: &str) -> String {
    let light = |line: &str, blocks: &str| -> Vec<bool> {
        line.chars().map(|block| blocks.contains(block)).collect()
    };
    let rows: Vec<Vec<bool>> = picture
        .lines()
        .flat_map(|line| [light(line, "█▀"), light(line, "█▄")])
        .collect();
    let scale = 4;
    let (width, height) = (rows[0].len() * scale, rows.len() * scale);
    let mut image = PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        u8::from(rows[y / scale][x / scale]) * 255
    });
    image.detect_grids()[0].decode().unwrap().1
}
