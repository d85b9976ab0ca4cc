//! A trace: who asks for a deployment when, from where, and how long it is held.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::key::PublicKey;
use sinfonia_core::location::Location;
use sinfonia_core::recipe::HELLOWORLD;
use uuid::Uuid;

/// What a line may say.
const FIELDS: [&str; 6] = [
    "time",
    "client",
    "latitude",
    "longitude",
    "uuid",
    "duration",
];
/// Latest second of a trace, three years: more than anyone replays, and far from times of day written as seconds since 1970.
const MOST_SECONDS: f64 = 1e8;
/// The address of a device that does not say its own: in no local network, and accepted by those that accept everyone.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Longest part of a wrong value that an error repeats, in characters.
const SHOWN_CHARACTERS: usize = 40;

/// How a trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Comma-separated values below a line with the fields' names.
    Csv,
    /// An object of JSON in each line.
    JsonLines,
}

/// A device asks for a deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// Seconds from the start.
    pub(crate) time_s: f64,
    /// Seconds for which it holds its deployment.
    pub(crate) duration_s: f64,
    /// The device.
    pub(crate) client: ClientInfo,
    /// What it asks for.
    pub(crate) recipe: Uuid,
    /// Its key for this recipe.
    pub(crate) key: PublicKey,
}

/// The fields of a line that say something.
type Fields = BTreeMap<String, String>;

impl Format {
    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// It stands for none.
    pub(crate) fn of(file: &Path) -> anyhow::Result<Self> {
        let ending = file.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => bail!("a trace's name ends in .csv, or in .jsonl or .ndjson for lines of JSON"),
        }
    }
}

/// Reads a trace. Requests come out by their time; those of one moment in the order of their lines.
///
/// # Errors
/// The first line that cannot be used, with the field and what is expected; or there is no request.
pub(crate) fn parse(text: &str, format: Format) -> anyhow::Result<Vec<Request>> {
    let lines = match format {
        Format::Csv => csv_lines(text)?,
        Format::JsonLines => json_lines(text)?,
    };
    let mut requests = lines
        .iter()
        .map(|(line, fields)| request(fields).with_context(|| format!("line {line}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!requests.is_empty(), "it holds no requests");
    requests.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    Ok(requests)
}

fn csv_lines(text: &str) -> anyhow::Result<Vec<(u64, Fields)>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names = reader.headers()?.clone();
    for (index, name) in names.iter().enumerate() {
        let is_new = names.iter().take(index).all(|earlier| earlier != name);
        ensure!(is_new, "line 1: the field `{name}` is there twice");
        known(name).context("line 1")?;
    }
    let line = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record?;
        let fields = names.iter().zip(record.iter());
        let fields = fields.filter(|(_, value)| !value.is_empty());
        let number = record.position().map_or(0, csv::Position::line);
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok((number, fields.collect()))
    };
    reader.records().map(line).collect()
}

fn json_lines(text: &str) -> anyhow::Result<Vec<(u64, Fields)>> {
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let fields = json_fields(line).with_context(|| format!("line {number}"))?;
            Ok((number, fields))
        })
        .collect()
}

fn json_fields(line: &str) -> anyhow::Result<Fields> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
        let column = error.column().max(1);
        anyhow!("column {column}: it is no object of JSON, such as {{\"time\": 0, …}}")
    })?;
    let mut fields = Fields::new();
    for (name, value) in object {
        known(&name)?;
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => bail!("{name}: expected a number or a text"),
        };
        fields.insert(name, text);
    }
    Ok(fields)
}

fn known(name: &str) -> anyhow::Result<()> {
    ensure!(
        FIELDS.contains(&name),
        "unknown field `{}`: expected {}",
        shown(name),
        FIELDS.join(", ")
    );
    Ok(())
}

fn request(fields: &Fields) -> anyhow::Result<Request> {
    let recipe = match fields.get("uuid") {
        Some(text) => text
            .parse()
            .map_err(|_| anyhow!("uuid: `{}` is not the UUID of a recipe", shown(text)))?,
        None => HELLOWORLD,
    };
    let (client, key) = device(fields, recipe)?;
    let time_s = seconds(fields, "time", "seconds from the start")?;
    let duration_s = seconds(fields, "duration", "seconds")?;
    ensure!(
        duration_s > 0.0,
        "duration: `0` is too short: expected seconds above 0"
    );
    Ok(Request {
        time_s,
        duration_s,
        client,
        recipe,
        key,
    })
}

fn seconds(fields: &Fields, name: &str, unit: &str) -> anyhow::Result<f64> {
    let text = fields
        .get(name)
        .ok_or_else(|| anyhow!("{name}: missing: expected {unit}"))?;
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=MOST_SECONDS).contains(seconds));
    seconds.ok_or_else(|| {
        anyhow!(
            "{name}: `{}` is not a number of {unit}, 0 to {MOST_SECONDS:.0}",
            shown(text)
        )
    })
}

/// The device that asks, and its key. A device with an address is told by that, any other by its place.
fn device(fields: &Fields, recipe: Uuid) -> anyhow::Result<(ClientInfo, PublicKey)> {
    let location = location(fields)?;
    let address = match fields.get("client") {
        Some(text) => Some(text.parse().map_err(|_| {
            anyhow!(
                "client: `{}` is not an address, such as 192.0.2.7 or 2001:db8::7",
                shown(text)
            )
        })?),
        None => None,
    };
    let client = ClientInfo::new(address.unwrap_or(ANYWHERE), location);
    let identity = match (address, location) {
        (Some(_), _) => client.address().to_string(),
        (None, Some(location)) => location.to_string(),
        (None, None) => {
            bail!("client: missing: expected an address, or latitude and longitude")
        }
    };
    Ok((client, key(recipe, &identity)))
}

fn location(fields: &Fields) -> anyhow::Result<Option<Location>> {
    let (latitude, longitude) = match (degrees(fields, "latitude")?, degrees(fields, "longitude")?)
    {
        (Some(latitude), Some(longitude)) => (latitude, longitude),
        (None, None) => return Ok(None),
        (Some(_), None) => bail!("longitude: missing: latitude and longitude come together"),
        (None, Some(_)) => bail!("latitude: missing: latitude and longitude come together"),
    };
    Ok(Some(Location::new(latitude, longitude)?))
}

fn degrees(fields: &Fields, name: &str) -> anyhow::Result<Option<f64>> {
    let Some(text) = fields.get(name) else {
        return Ok(None);
    };
    let degrees = text.parse();
    degrees
        .map(Some)
        .map_err(|_| anyhow!("{name}: `{}` is not a number of degrees", shown(text)))
}

/// As devices do, one has a key of its own for each recipe.
fn key(recipe: Uuid, identity: &str) -> PublicKey {
    let digest = Sha256::new()
        .chain_update(recipe.as_bytes())
        .chain_update(identity)
        .finalize();
    PublicKey::from_bytes(digest.into())
}

fn shown(text: &str) -> String {
    text.escape_default().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
