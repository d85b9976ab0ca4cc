//! The `nft` program.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::rules::REMOVAL;

/// Time for one run, a thousand times what it takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most characters of what it says that are told further.
const TOLD: usize = 1000;

/// Why nftables did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program cannot be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{} did not end within {} s", program.display(), PATIENCE.as_secs())]
    Overdue {
        /// The program.
        program: PathBuf,
    },
    /// It refused, or the kernel did.
    #[error("nftables refuses: {0}")]
    Refused(String),
    /// It did what it was asked for, and at once it was undone.
    #[error("the table has gone at once, another program must have flushed it")]
    Gone,
    /// What it lists cannot be understood.
    #[error("what nft lists cannot be understood")]
    Listing(#[source] serde_json::Error),
}

/// The table as it is listed.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    /// All but what changes with pods and by itself. It means nothing but to be compared.
    pub(super) frame: Value,
    /// Devices and pods, as far as they can be understood.
    pub(super) reachable: BTreeSet<(IpAddr, IpAddr)>,
    /// The same of name servers.
    pub(super) name_servers: BTreeSet<IpAddr>,
}

/// The `nft` program, and with it the tables of the network namespace that it runs in.
#[derive(Debug)]
pub(super) struct Nft {
    program: PathBuf,
}

impl Nft {
    pub(super) const fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Finds out whether the kernel would take a script, and leaves everything as it is.
    pub(super) async fn try_out(&self, script: &str) -> Result<(), NftError> {
        self.run(&["--check", "--file", "-"], script)
            .await
            .map(drop)
    }

    /// Does all that a script says, or nothing of it.
    pub(super) async fn apply(&self, script: &str) -> Result<(), NftError> {
        self.run(&["--file", "-"], script).await.map(drop)
    }

    /// Takes the table away, if it is there.
    pub(super) async fn remove(&self) -> Result<(), NftError> {
        self.apply(REMOVAL).await
    }

    /// What the table is; `None` where there is none.
    pub(super) async fn table(&self) -> Result<Option<Table>, NftError> {
        let tables = self.run(&["--json", "list", "tables", "inet"], "").await?;
        let tables: Value = serde_json::from_str(&tables).map_err(NftError::Listing)?;
        if !holds_our_table(&tables) {
            return Ok(None);
        }
        let arguments = ["--json", "list", "table", "inet", "sinfonia"];
        let table = self.run(&arguments, "").await?;
        let table = serde_json::from_str(&table).map_err(NftError::Listing)?;
        Ok(Some(Table::of(table)))
    }

    async fn run(&self, arguments: &[&str], script: &str) -> Result<String, NftError> {
        let failed = |source| NftError::Run {
            program: self.program.clone(),
            source,
        };
        let child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let output = timeout(PATIENCE, talk(child, script)).await;
        let output = output.map_err(|_| NftError::Overdue {
            program: self.program.clone(),
        })?;
        let output = output.map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(NftError::Refused(said.trim().chars().take(TOLD).collect()))
    }
}

async fn talk(mut child: Child, script: &str) -> io::Result<Output> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(script.as_bytes()).await {
            // It ended without reading all of it, and says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    child.wait_with_output().await
}

fn holds_our_table(tables: &Value) -> bool {
    let tables = tables["nftables"].as_array();
    tables.is_some_and(|tables| {
        tables
            .iter()
            .any(|entry| entry["table"]["name"] == "sinfonia")
    })
}

impl Table {
    fn of(mut listing: Value) -> Self {
        let mut reachable = BTreeSet::new();
        let mut name_servers = BTreeSet::new();
        for entry in listing["nftables"].as_array_mut().into_iter().flatten() {
            let Some(set) = entry.get_mut("set").and_then(Value::as_object_mut) else {
                continue;
            };
            match set["name"].as_str() {
                Some("reachable") => reachable = taken_out(set, pair),
                Some("name_servers") => name_servers = taken_out(set, address),
                _ => {}
            }
        }
        without_what_changes_by_itself(&mut listing);
        Self {
            frame: listing,
            reachable,
            name_servers,
        }
    }
}

/// The elements of a set, which it loses, unless there are some that are not understood: they are not ours.
fn taken_out<T: Ord>(set: &mut Map<String, Value>, parse: fn(&Value) -> Option<T>) -> BTreeSet<T> {
    let elements = set.get("elem").and_then(Value::as_array);
    let elements: Option<BTreeSet<T>> = elements.into_iter().flatten().map(parse).collect();
    if elements.is_some() {
        set.remove("elem");
    }
    elements.unwrap_or_default()
}

fn pair(element: &Value) -> Option<(IpAddr, IpAddr)> {
    let pair = element["concat"].as_array()?;
    match pair.as_slice() {
        [client, pod] => Some((address(client)?, address(pod)?)),
        _ => None,
    }
}

fn address(element: &Value) -> Option<IpAddr> {
    element.as_str()?.parse().ok()
}

/// Counters count, and handles are new with each change.
fn without_what_changes_by_itself(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            fields.remove("counter");
            fields.values_mut().for_each(without_what_changes_by_itself);
        }
        Value::Array(values) => values.iter_mut().for_each(without_what_changes_by_itself),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_by_itself_and_the_order_of_elements_do_not_count() {
        let elements =
            json!([{"concat": ["10.5.0.2", "10.42.0.1"]}, {"concat": ["10.5.0.2", "10.42.0.2"]}]);
        let reversed =
            json!([{"concat": ["10.5.0.2", "10.42.0.2"]}, {"concat": ["10.5.0.2", "10.42.0.1"]}]);

        assert_eq!(
            listed(1, 0, "drop", &elements),
            listed(2, 7, "drop", &reversed)
        );
    }

    #[test]
    fn other_rules_and_other_elements_count() {
        let element = |pod: &str| json!([{"concat": ["10.5.0.2", pod]}]);
        let table = listed(1, 0, "drop", &element("10.42.0.1"));

        for other in [
            listed(1, 0, "accept", &element("10.42.0.1")),
            listed(1, 0, "drop", &element("10.42.0.2")),
            listed(1, 0, "drop", &json!([])),
            listed(
                1,
                0,
                "drop",
                &json!([{"concat": ["10.5.0.2", {"prefix": {"addr": "10.42.0.0", "len": 16}}]}]),
            ),
        ] {
            assert_ne!(table, other);
        }
    }

    #[test]
    fn the_frame_does_not_change_with_pods() {
        let some = listed(
            1,
            0,
            "drop",
            &json!([{"concat": ["10.5.0.2", "10.42.0.1"]}]),
        );
        let none = listed(1, 0, "drop", &json!([]));

        assert_eq!(some.frame, none.frame);
        let expected = ("10.5.0.2".parse().unwrap(), "10.42.0.1".parse().unwrap());
        assert_eq!(some.reachable, BTreeSet::from([expected]));
    }

    #[tokio::test]
    async fn what_it_says_is_told() {
        let nft = Nft::new("/bin/false".into());

        let refused = nft.apply("nonsense").await.unwrap_err();

        assert!(matches!(refused, NftError::Refused(_)), "{refused}");
    }

    fn listed(handle: u32, packets: u32, verdict: &str, elements: &Value) -> Table {
        let counter = json!({"counter": {"packets": packets, "bytes": 9}});
        Table::of(json!({"nftables": [
            {"set": {"name": "reachable", "handle": handle, "elem": elements}},
            {"rule": {"handle": handle, "expr": [counter, {verdict: null}]}},
        ]}))
    }
}
