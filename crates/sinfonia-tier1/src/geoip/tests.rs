use rstest::rstest;
use tempfile::TempDir;

use super::*;
use writer::database;

pub(crate) mod writer;

const PITTSBURGH: (f64, f64) = (40.4439, -79.9444);
const TOKYO: (f64, f64) = (35.6897, 139.6895);

#[rstest]
#[case::ipv4("8.8.4.4", Some(PITTSBURGH))]
#[case::mapped("::ffff:8.8.4.4", Some(PITTSBURGH))]
#[case::ipv6("2600:1::7", Some(TOKYO))]
#[case::not_listed("9.9.9.9", None)]
#[case::private("10.0.0.1", None)]
fn an_address_is_where_the_database_says(
    #[case] address: &str,
    #[case] expected: Option<(f64, f64)>,
) {
    let (_folder, path) = file(&database(
        "Test-City",
        &[("8.8.0.0/16", PITTSBURGH), ("2600:1::/32", TOKYO)],
    ));
    let geoip = GeoIp::open(&path).unwrap();

    assert_eq!(geoip.locate(ip(address)), expected.map(location));
}

#[test]
fn a_place_that_is_none_is_not_told() {
    let (_folder, path) = file(&database("Site-Own", &[("8.8.0.0/16", (91.0, f64::NAN))]));
    let geoip = GeoIp::open(&path).unwrap();

    assert_eq!(geoip.locate(ip("8.8.4.4")), None);
}

#[test]
fn without_a_database_nothing_has_a_place() {
    assert_eq!(GeoIp::off().locate(ip("8.8.4.4")), None);
}

#[test]
fn surroundings_hold_each_place_once_and_only_those_of_the_internet() {
    let networks = [
        ("8.8.0.0/16", PITTSBURGH),
        ("9.9.0.0/16", TOKYO),
        ("10.0.0.0/8", TOKYO),
    ];
    let (_folder, path) = file(&database("Test-City", &networks));
    let geoip = GeoIp::open(&path).unwrap();

    let surroundings = geoip.surroundings(vec![
        ip("10.0.0.1"),
        ip("8.8.4.4"),
        ip("8.8.8.8"),
        ip("8.8.4.4"),
    ]);

    let expected = Surroundings {
        addresses: vec![ip("8.8.4.4"), ip("8.8.8.8"), ip("10.0.0.1")],
        locations: vec![location(PITTSBURGH)],
    };
    assert_eq!(surroundings, expected);
}

#[rstest]
#[case::text(b"not a database".to_vec(), "is not a GeoIP database (MaxMind DB)")]
#[case::empty(vec![], "is not a GeoIP database (MaxMind DB)")]
#[case::networks_only(
    database("GeoLite2-ASN", &[]),
    "holds GeoLite2-ASN, which tells no locations; give a City database"
)]
fn what_is_no_database_of_places_is_refused(#[case] content: Vec<u8>, #[case] expected: &str) {
    let (_folder, path) = file(&content);

    let error = GeoIp::load(Some(&path)).unwrap_err();

    assert_eq!(error.to_string(), format!("{} {expected}", path.display()));
}

#[test]
fn a_database_that_was_asked_for_and_is_missing_is_an_error() {
    let error = GeoIp::load(Some(Path::new("/nowhere/GeoLite2-City.mmdb"))).unwrap_err();

    assert_eq!(
        error.to_string(),
        "cannot read the GeoIP database /nowhere/GeoLite2-City.mmdb"
    );
}

#[test]
fn a_bad_database_that_was_found_is_passed_over_for_a_good_one() {
    let (bad, path) = file(b"nothing");
    std::fs::rename(path, bad.path().join("GeoLite2-City.mmdb")).unwrap();
    let (good, path) = file(&database("Test-City", &[("8.8.0.0/16", PITTSBURGH)]));
    std::fs::rename(path, good.path().join("GeoLite2-City.mmdb")).unwrap();
    let folders = [bad.path().to_str().unwrap(), good.path().to_str().unwrap()];

    let geoip = GeoIp::find(&folders);

    assert_eq!(geoip.locate(ip("8.8.4.4")), Some(location(PITTSBURGH)));
}

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.mmdb");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn location((latitude, longitude): (f64, f64)) -> Location {
    Location::new(latitude, longitude).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
