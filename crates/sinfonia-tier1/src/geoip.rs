//! Where an address is, as a GeoIP database of cities says (MaxMind's GeoLite2 and GeoIP2, DB-IP's, or one in the same form).

mod places;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::{MaxMindDbError, Reader, path};
use sinfonia_core::cloudlet::Surroundings;
use sinfonia_core::location::Location;
use sinfonia_core::network::{canonical, is_global};

/// Words in the type of a database that tells no locations. Others may: a site can make its own, of any type.
const KINDS_WITHOUT_LOCATIONS: [&str; 6] = [
    "ASN",
    "Anonymous",
    "Connection-Type",
    "Country",
    "Domain",
    "ISP",
];

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoIpError {
    /// The file cannot be read.
    #[error("cannot read the GeoIP database {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a GeoIP database (MaxMind DB)", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MaxMindDbError,
    },
    /// The database tells something else than places.
    #[error("{} holds {kind}, which tells no locations; give a City database", path.display())]
    NoLocations {
        /// The file.
        path: PathBuf,
        /// What the database calls itself.
        kind: String,
    },
}

/// A GeoIP database, or none. Clones share it.
#[derive(Clone, Default)]
pub struct GeoIp(Option<Arc<Reader<Vec<u8>>>>);

impl GeoIp {
    /// Knows no place.
    pub fn off() -> Self {
        Self::default()
    }

    /// Reads the database that was asked for, or else one of those that are where `geoipupdate` puts them. What is found and cannot be
    /// used is told as a warning, and nothing found as information.
    ///
    /// # Errors
    /// The one that was asked for cannot be used.
    pub fn load(asked_for: Option<&Path>) -> Result<Self, GeoIpError> {
        asked_for.map_or_else(|| Ok(Self::find(places::FOLDERS)), Self::open)
    }

    /// Reads a database.
    ///
    /// # Errors
    /// The file cannot be read, or is no database of locations.
    pub fn open(path: &Path) -> Result<Self, GeoIpError> {
        let bytes = std::fs::read(path).map_err(|source| GeoIpError::Read {
            path: path.to_owned(),
            source,
        })?;
        let reader = Reader::from_source(bytes).map_err(|source| GeoIpError::Malformed {
            path: path.to_owned(),
            source,
        })?;
        let metadata = reader.metadata();
        let kind = &metadata.database_type;
        if KINDS_WITHOUT_LOCATIONS
            .iter()
            .any(|word| kind.contains(word))
        {
            return Err(GeoIpError::NoLocations {
                path: path.to_owned(),
                kind: kind.escape_default().take(60).collect(),
            });
        }
        tracing::info!(path = %path.display(), kind, built = metadata.build_epoch, "GeoIP database read");
        Ok(Self(Some(Arc::new(reader))))
    }

    /// Where an address is; `None` when the database does not say, or there is none.
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        let found = self.0.as_ref()?.lookup(canonical(address)).ok()?;
        let latitude = found.decode_path(&path!["location", "latitude"]).ok()??;
        let longitude = found.decode_path(&path!["location", "longitude"]).ok()??;
        Location::new(latitude, longitude).ok()
    }

    /// What a host's addresses tell of it: those of the internet say where it is. The order of the addresses does not matter.
    pub fn surroundings(&self, mut addresses: Vec<IpAddr>) -> Surroundings {
        addresses.sort_unstable();
        addresses.dedup();
        let mut locations = Vec::new();
        for address in addresses.iter().filter(|address| is_global(**address)) {
            if let Some(location) = self.locate(*address)
                && !locations.contains(&location)
            {
                locations.push(location);
            }
        }
        Surroundings {
            addresses,
            locations,
        }
    }

    fn find(folders: &[&str]) -> Self {
        for path in folders
            .iter()
            .filter_map(|folder| places::best_in(Path::new(folder)))
        {
            match Self::open(&path) {
                Ok(found) => return found,
                Err(error) => {
                    let cause = sinfonia_service::reload::causes(&error);
                    tracing::warn!(%error, cause, "GeoIP database is passed over");
                }
            }
        }
        tracing::info!(
            "no GeoIP database found (--geoip), so clients and cloudlets that do not say where they are have no place"
        );
        Self::off()
    }
}

impl fmt::Debug for GeoIp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self
            .0
            .as_ref()
            .map(|reader| &reader.metadata().database_type);
        formatter.debug_tuple("GeoIp").field(&kind).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
