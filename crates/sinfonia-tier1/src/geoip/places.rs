//! Where GeoIP databases usually are.

use std::path::{Path, PathBuf};

/// Folders in which `geoipupdate` and the packages of distributions put databases.
pub(super) const FOLDERS: &[&str] = &[
    "/usr/share/GeoIP",
    "/var/lib/GeoIP",
    "/usr/local/share/GeoIP",
    "/usr/local/var/GeoIP",
    "/opt/homebrew/var/GeoIP",
];

/// Names of databases of cities, the most exact first.
const NAMES: [&str; 3] = [
    "GeoIP2-City.mmdb",
    "GeoLite2-City.mmdb",
    "dbip-city-lite.mmdb",
];

/// The best database of cities in a folder, by its name.
pub(super) fn best_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|file| file.ok()?.file_name().into_string().ok());
    best(names).map(|name| folder.join(name))
}

/// DB-IP's names end in the month (`dbip-city-lite-2026-11.mmdb`); the last one counts.
fn best(names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<String> = names.collect();
    let usual = NAMES
        .iter()
        .find(|usual| names.iter().any(|name| name == *usual));
    let dated = || {
        let dbip = |name: &&String| name.starts_with("dbip-city") && name.ends_with(".mmdb");
        names.iter().filter(dbip).max().cloned()
    };
    usual.map(|name| (*name).to_owned()).or_else(dated)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], None)]
    #[case::of_geoipupdate(&["GeoIP.conf", "GeoLite2-ASN.mmdb", "GeoLite2-City.mmdb"], Some("GeoLite2-City.mmdb"))]
    #[case::the_paid_one_is_more_exact(&["GeoLite2-City.mmdb", "GeoIP2-City.mmdb"], Some("GeoIP2-City.mmdb"))]
    #[case::newest_of_dbip(&["dbip-city-lite-2026-11.mmdb", "dbip-city-lite-2026-02.mmdb"], Some("dbip-city-lite-2026-11.mmdb"))]
    #[case::packed(&["dbip-city-lite-2026-11.mmdb.gz"], None)]
    #[case::countries(&["GeoLite2-Country.mmdb"], None)]
    fn the_best_database_is_found_by_name(#[case] names: &[&str], #[case] expected: Option<&str>) {
        let found = best(names.iter().map(ToString::to_string));

        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_none() {
        assert_eq!(best_in(Path::new("/nowhere/GeoIP")), None);
    }
}
