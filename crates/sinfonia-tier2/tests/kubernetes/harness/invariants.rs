//! What holds in a cluster whenever its Tier 2 has nothing left to do.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use sinfonia_core::key::PublicKey;

use super::objects::items;
use super::{Cloudlet, eventually};

const MANAGED: &str = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dsinfonia-tier2";

/// What a record says should be there.
struct Claim {
    key: PublicKey,
    uuid: String,
    name: String,
    address: String,
    /// The phases in which there is a Namespace, and a Peer and a release in it.
    has_namespace: bool,
    runs: bool,
}

impl Cloudlet {
    /// Waits until all that belongs to this cloudlet is as its records say, and nothing is left over.
    ///
    /// A Peer or a Namespace without a record is noticed where it bears one of [`Cloudlet::own_key`]: other keys are used by other tests too.
    pub(crate) async fn check_invariants(&self) {
        eventually(async || self.invariants()).await;
    }

    /// What does not hold right now.
    pub(crate) fn invariants(&self) -> Result<(), String> {
        let mut claims = Vec::new();
        for record in self.records() {
            claims.push(claim(&record)?);
        }
        unique("name", claims.iter().map(|claim| &claim.name))?;
        unique("address", claims.iter().map(|claim| &claim.address))?;
        let peers = self.managed("/apis/kilo.squat.ai/v1alpha1/peers")?;
        let mut namespaces = self.managed("/api/v1/namespaces")?;
        namespaces.retain(|_, namespace| namespace["metadata"]["deletionTimestamp"].is_null());
        for claim in &claims {
            self.check(claim, &peers, &namespaces)?;
        }
        let keys: HashSet<_> = (0..=u8::MAX)
            .map(|number| self.own_key(number).label_value())
            .collect();
        for (kind, objects) in [("Peer", &peers), ("Namespace", &namespaces)] {
            for (name, object) in objects {
                let label = object["metadata"]["labels"]["findcloudlet.org/key"].as_str();
                let ours = label.is_some_and(|label| keys.contains(label));
                if ours && claims.iter().all(|claim| claim.name != *name) {
                    return Err(format!("{kind} {name} has no record"));
                }
            }
        }
        match self.helms().as_slice() {
            [] => Ok(()),
            left => Err(format!("helm still runs: {left:?}")),
        }
    }

    /// The processes of helm that work for this cloudlet's Tier 2s.
    pub(crate) fn helms(&self) -> Vec<u32> {
        let folder = self.folder().as_os_str().as_bytes();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let helms = processes.filter_map(|process| {
            let id = process.file_name().to_str()?.parse().ok()?;
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let program = line.split(|byte| *byte == 0).next()?;
            let works_here = line.windows(folder.len()).any(|part| part == folder);
            (program.ends_with(b"helm") && works_here).then_some(id)
        });
        helms.collect()
    }

    fn check(
        &self,
        claim: &Claim,
        peers: &HashMap<String, Value>,
        namespaces: &HashMap<String, Value>,
    ) -> Result<(), String> {
        let name = &claim.name;
        let peer = peers.get(name);
        let namespace = namespaces.get(name);
        if peer.is_some() != claim.runs || namespace.is_some() != claim.has_namespace {
            return Err(format!(
                "{name}: its Peer is {peer:?}, its Namespace {namespace:?}"
            ));
        }
        if let Some(peer) = peer {
            claim.check_labels(peer)?;
            let spec = (&peer["spec"]["publicKey"], &peer["spec"]["allowedIPs"]);
            let key = Value::from(claim.key.to_string());
            let networks = Value::from(vec![format!("{}/32", claim.address)]);
            if spec != (&key, &networks) {
                return Err(format!("{name}: its Peer is wrong: {peer}"));
            }
        }
        if let Some(namespace) = namespace {
            claim.check_labels(namespace)?;
            self.check_release(claim)?;
        }
        Ok(())
    }

    fn check_release(&self, claim: &Claim) -> Result<(), String> {
        let name = &claim.name;
        let list = |path: &str| {
            let list = self.cluster().get_json(path);
            list.map(|list| items(&list))
                .map_err(|error| error.to_string())
        };
        let secrets = list(&format!(
            "/api/v1/namespaces/{name}/secrets?labelSelector=owner%3Dhelm"
        ))?;
        let releases: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let labels = &secret["metadata"]["labels"];
                (labels["name"].as_str(), labels["status"].as_str())
            })
            .collect();
        let expected = [(Some(name.as_str()), Some("deployed"))];
        if releases != expected[..usize::from(claim.runs)] {
            return Err(format!("{name}: its releases are {releases:?}"));
        }
        if !claim.runs {
            return Ok(());
        }
        for path in [
            format!("/api/v1/namespaces/{name}/serviceaccounts/sinfonia-deployer"),
            format!(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings/sinfonia-deployer"
            ),
        ]
        .into_iter()
        .chain(isolation_paths(name))
        {
            let found = self.cluster().find(&path);
            if found.map_err(|error| error.to_string())?.is_none() {
                return Err(format!("{path} is missing"));
            }
        }
        Ok(())
    }

    /// Everything in a collection that Tier 2s manage, by name.
    fn managed(&self, path: &str) -> Result<HashMap<String, Value>, String> {
        let list = self.cluster().get_json(&format!("{path}?{MANAGED}"));
        let objects = items(&list.map_err(|error| error.to_string())?);
        let named = objects.into_iter().map(|object| {
            let name = object["metadata"]["name"].as_str();
            (name.unwrap_or_default().to_owned(), object)
        });
        Ok(named.collect())
    }
}

/// Where that is which keeps a deployment apart.
pub(crate) fn isolation_paths(name: &str) -> [String; 3] {
    [
        format!("/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies/sinfonia-isolation"),
        format!("/api/v1/namespaces/{name}/resourcequotas/sinfonia-isolation"),
        format!("/api/v1/namespaces/{name}/limitranges/sinfonia-isolation"),
    ]
}

impl Claim {
    fn check_labels(&self, object: &Value) -> Result<(), String> {
        let labels = &object["metadata"]["labels"];
        let found = [
            "findcloudlet.org",
            "findcloudlet.org/uuid",
            "findcloudlet.org/key",
            "findcloudlet.org/client",
        ]
        .map(|label| labels[label].as_str().unwrap_or_default());
        let key = self.key.label_value();
        if found == ["deployment", &self.uuid, &key, &self.address] {
            Ok(())
        } else {
            Err(format!("{}: labels are {labels}", self.name))
        }
    }
}

/// What a settled record claims; one that is not settled is an error.
fn claim(record: &Value) -> Result<Claim, String> {
    let unsettled = || format!("a record is not settled: {record}");
    let (spec, status) = (&record["spec"], &record["status"]);
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(unsettled);
    if !record["metadata"]["deletionTimestamp"].is_null() {
        return Err(unsettled());
    }
    let (has_namespace, runs) = match text(&status["phase"])?.as_str() {
        "Deployed" => (true, true),
        // Somebody has called it back.
        _ if spec["renewals"].as_u64() > status["renewalsSeen"].as_u64() => return Err(unsettled()),
        "Expiring" => (true, false),
        "Expired" | "Failed" => (false, false),
        _ => return Err(unsettled()),
    };
    Ok(Claim {
        key: text(&spec["publicKey"])?.parse().map_err(|_| unsettled())?,
        uuid: text(&spec["uuid"])?,
        name: text(&status["deploymentName"])?,
        address: text(&status["tunnelAddress"])?,
        has_namespace,
        runs,
    })
}

fn unique<'a>(what: &str, values: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for value in values {
        if !seen.insert(value) {
            return Err(format!("two records have the {what} {value}"));
        }
    }
    Ok(())
}
