//! Whether the API server answers and knows what we need, and which cluster it is.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams};
use sinfonia_service::readiness::Condition;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::crd;

/// The Namespace whose uid identifies a cluster.
const KUBE_SYSTEM: &str = "kube-system";
/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time for which a server that answered before may be silent; deployments that exist are served from memory meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at the API server, for ever.
pub(super) async fn follow(client: Client, uid: watch::Sender<Option<Uuid>>, condition: Condition) {
    let mut answered: Option<Instant> = None;
    loop {
        match look(&client).await {
            Ok(found) => {
                uid.send_replace(found);
                answered = Some(Instant::now());
                condition.ready();
            }
            Err(error) if answered.is_none_or(|answered| answered.elapsed() > PATIENCE) => {
                condition.not_ready(words(&error));
            }
            Err(_) => {}
        }
        sleep(INTERVAL).await;
    }
}

async fn look(client: &Client) -> Result<Option<Uuid>, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get_metadata(KUBE_SYSTEM).await?;
    let peers: Api<crd::Peer> = Api::all(client.clone());
    peers.list_metadata(&ListParams::default().limit(1)).await?;
    let uid = namespace.metadata.uid;
    Ok(uid.and_then(|uid| uid.parse().ok()))
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            "the cluster does not know Peers (kilo.squat.ai); is Kilo installed?".to_owned()
        }
        kube::Error::Api(status) => format!("the API server refuses: {}", status.message),
        _ => "the API server does not answer".to_owned(),
    }
}
