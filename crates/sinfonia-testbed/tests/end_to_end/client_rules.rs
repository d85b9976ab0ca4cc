//! What devices reach through a node that `sinfonia-tier2 guard` guards: real packets between network namespaces, real rules, and a real API
//! server that says whose pods are where. They need root and nftables.

mod probe;
mod site;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use rstest::rstest;
use sinfonia_testbed::command;
use tokio::time::sleep;

use self::probe::Protocol::{self, Tcp, Udp};
use self::probe::{Datagrams, connect, echo, echo_at, reaches};
use self::site::{Site, pod_of_manifest};
use super::local_network::Host;
use super::support::{World, eventually, run};

/// Time between two packets of somebody who does not give up.
const PRESSING: Duration = Duration::from_millis(1);

#[rstest]
#[case::nothing_beyond("none", false)]
#[case::the_internet("internet", true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_device_reaches_its_own_pods_and_name_servers_alone(
    #[case] egress: &str,
    #[case] internet: bool,
) {
    let site = Site::new().await;
    let servers = [
        (&site.own_pod, &[80, 9000][..]),
        (&site.other_pod, &[80, 9000]),
        (&site.name_server, &[53, 9153]),
        (&site.system_pod, &[5001]),
        (&site.device, &[8000]),
        (&site.other_device, &[8000]),
        (&site.node, &[10250]),
        (&site.outside, &[80]),
    ];
    for (host, ports) in servers {
        for port in ports {
            echo(host, *port);
        }
    }
    let questions = questions(&site, internet);

    let before = ask(&questions).await;
    let _guard = site.guard(&["--client-egress", egress]).await;
    let guarded = ask(&questions).await;

    let all: Vec<_> = questions
        .iter()
        .map(|question| question.told(true))
        .collect();
    assert_eq!(before, all, "without a guard");
    let expected: Vec<_> = questions
        .iter()
        .map(|question| question.told(question.is_allowed))
        .collect();
    assert_eq!(guarded, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_come_and_go_are_followed_and_connections_end_with_them() {
    let site = Site::new().await;
    let address = site.pod_address(10);
    site.own_pod
        .ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
    let to = format!("{address}:80");
    echo_at(&site.own_pod, to.parse().unwrap());
    let _guard = site.guard(&[]).await;

    assert!(!reaches(&site.device, Udp, &to).await);
    site.run_pod("late", 10);
    let datagrams = Datagrams::new(&site.device, None, &to);
    eventually("the new pod answers", async || {
        datagrams.asks().await.then_some(())
    })
    .await;
    let mut connection = connect(&site.device, &to).await.unwrap();
    assert!(connection.asks().await);

    site.delete_pod("late");

    eventually("the pod that has gone answers no more", async || {
        (!datagrams.asks().await).then_some(())
    })
    .await;
    assert!(!connection.asks().await);
    assert!(!reaches(&site.device, Tcp, &to).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_stay_when_the_guard_is_killed_and_are_replaced_without_a_gap() {
    let site = Site::new().await;
    let came = echo(&site.other_pod, 9000);
    echo(&site.own_pod, 80);
    let own = format!("{}:80", site.pod_address(7));
    let forbidden = format!("{}:9000", site.pod_address(8));
    let first = site.guard(&[]).await;
    let pressing = Datagrams::new(&site.device, None, &forbidden);
    let pressing = tokio::spawn(async move {
        loop {
            pressing.send().await;
            sleep(PRESSING).await;
        }
    });

    first.kill().await;
    assert!(reaches(&site.device, Tcp, &own).await);
    for _ in 0..3 {
        // The settings differ each time, so that all is replaced.
        site.guard(&["--client-egress", "internet"])
            .await
            .kill()
            .await;
        site.guard(&[]).await.kill().await;
    }
    assert!(reaches(&site.device, Tcp, &own).await);
    pressing.abort();

    assert_eq!(came.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_another_program_flushed_are_put_back_and_those_to_be_removed_are_removed() {
    let site = Site::new().await;
    echo(&site.other_pod, 80);
    let forbidden = format!("{}:80", site.pod_address(8));
    let guard = site.guard(&[]).await;

    for flush in [
        &["flush", "ruleset"][..],
        &["flush", "chain", "inet", "sinfonia", "forward"],
    ] {
        site.node.does("nft", flush);
        eventually("the rules are back", async || {
            (!reaches(&site.device, Tcp, &forbidden).await).then_some(())
        })
        .await;
    }
    guard.kill().await;

    for _ in 0..2 {
        let removed = site.remove_rules().await;
        assert_eq!(removed.code, 0, "{}", removed.stderr);
        assert!(reaches(&site.device, Tcp, &forbidden).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_for_a_device_who_does_not_come_through_the_tunnel() {
    let site = Site::new().await;
    let came = echo(&site.own_pod, 9000);
    let (device, pod) = (site.device_address(2), site.pod_address(7));
    site.outside.ip(&["address", "add", &device, "dev", "lo"]);
    let forged = Datagrams::new(&site.outside, Some(&device), &format!("{pod}:9000"));

    forged.send().await;
    eventually(
        "the forged datagram comes where nobody guards",
        async || (came.load(Ordering::Relaxed) == 1).then_some(()),
    )
    .await;
    let _guard = site.guard(&[]).await;
    forged.send().await;
    assert!(reaches(&site.device, Udp, &format!("{pod}:9000")).await);

    assert_eq!(came.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_nftables_is_told_with_what_to_do() {
    let world = World::new();
    let kubeconfig = world.file("kubeconfig", KUBECONFIG);
    for (nft, told) in [
        ("/no/such/nft", "apt install nftables"),
        ("false", "NET_ADMIN"),
    ] {
        let mut guard = command(&world.binaries().tier2);
        guard.args(["guard", "--kubeconfig", &kubeconfig, "--nft", nft]);

        let ran = run(guard).await;

        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(
            ran.stderr
                .contains("the nftables of this node cannot be used"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_of_the_manifest_admits_the_guard() {
    let site = Site::new().await;

    let pods = "/api/v1/namespaces/sinfonia-guard/pods?dryRun=All";
    let admitted = site.cluster.create(pods, &pod_of_manifest());

    admitted.unwrap();
}

/// Somebody who asks, whom, and whether that is allowed.
struct Question<'a> {
    from: &'a Host,
    protocol: Protocol,
    to: String,
    what: &'static str,
    is_allowed: bool,
}

impl Question<'_> {
    fn told(&self, answered: bool) -> (&'static str, Protocol, bool) {
        (self.what, self.protocol, answered)
    }
}

async fn ask(questions: &[Question<'_>]) -> Vec<(&'static str, Protocol, bool)> {
    let asked = questions.iter().map(async |question| {
        let answered = reaches(question.from, question.protocol, &question.to).await;
        question.told(answered)
    });
    join_all(asked).await
}

fn questions(site: &Site, internet: bool) -> Vec<Question<'_>> {
    let [own, other, system, names, node] = [7, 8, 9, 53, 1].map(|last| site.pod_address(last));
    let [device, other_device] = [2, 3].map(|last| site.device_address(last));
    let of_device = [
        ("its own pod", Tcp, format!("{own}:80"), true),
        ("its own pod", Udp, format!("{own}:9000"), true),
        ("its own service", Tcp, "10.43.0.80:80".to_owned(), true),
        (
            "the service of the name servers",
            Udp,
            "10.43.0.10:53".to_owned(),
            true,
        ),
        (
            "the service of the name servers",
            Tcp,
            "10.43.0.10:53".to_owned(),
            true,
        ),
        ("a name server", Udp, format!("{names}:53"), true),
        (
            "the metrics of a name server",
            Tcp,
            format!("{names}:9153"),
            false,
        ),
        ("another's pod", Tcp, format!("{other}:80"), false),
        ("another's pod", Udp, format!("{other}:9000"), false),
        ("another's service", Tcp, "10.43.0.81:80".to_owned(), false),
        (
            "the admin port of Tier 2",
            Tcp,
            format!("{system}:5001"),
            false,
        ),
        ("another device", Tcp, format!("{other_device}:8000"), false),
        ("another device", Udp, format!("{other_device}:8000"), false),
        (
            "the node in the tunnel",
            Tcp,
            "10.4.0.1:10250".to_owned(),
            false,
        ),
        (
            "the node among its pods",
            Tcp,
            format!("{node}:10250"),
            false,
        ),
        (
            "the node from outside",
            Tcp,
            "1.0.0.1:10250".to_owned(),
            false,
        ),
        (
            "the node in the tunnel",
            Udp,
            "10.4.0.1:10250".to_owned(),
            false,
        ),
        (
            "the service of the API server",
            Tcp,
            "10.43.0.1:443".to_owned(),
            false,
        ),
        (
            "the metadata service",
            Tcp,
            "169.254.169.254:80".to_owned(),
            false,
        ),
        (
            "the operator's network",
            Tcp,
            "192.168.7.2:80".to_owned(),
            false,
        ),
        ("the internet", Tcp, "1.0.0.2:80".to_owned(), internet),
        ("the internet", Udp, "1.0.0.2:80".to_owned(), internet),
    ];
    let to_device = [
        ("its own pod to the device", &site.own_pod, true),
        ("the node to the device", &site.node, true),
        ("another's pod to the device", &site.other_pod, false),
        ("the outside to the device", &site.outside, false),
    ];
    let to_device = to_device.into_iter().flat_map(|(what, from, is_allowed)| {
        let to = format!("{device}:8000");
        [Tcp, Udp].map(|protocol| Question {
            from,
            protocol,
            to: to.clone(),
            what,
            is_allowed,
        })
    });
    let of_device = of_device
        .into_iter()
        .map(|(what, protocol, to, is_allowed)| Question {
            from: &site.device,
            protocol,
            to,
            what,
            is_allowed,
        });
    of_device.chain(to_device).collect()
}

/// Credentials that are never used.
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: 'https://127.0.0.1:9'}}]
users: [{name: none, user: {token: none}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
";
