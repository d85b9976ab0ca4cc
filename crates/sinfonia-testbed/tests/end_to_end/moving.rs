//! A running application whose cloudlet dies.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::support::{FAR, NEAR, World, cloudlet, cloudlets};

/// Asks for the page again and again, each time with a new connection and a new look at the names.
const ASK_ON: &str = r#"
ask='exec 3<>/dev/tcp/helloworld/80; printf "GET / HTTP/1.0\r\nHost: helloworld\r\n\r\n" >&3; grep deployment: <&3'
while :; do timeout 2 bash -c "$ask" 2>/dev/null; sleep 0.2; done
"#;
/// Seconds of silence that are borne: less than by default, because a machine that tests much at once may stall for some.
const PATIENT: &str = "8";
/// The promise, from the death of the cloudlet to the answer of another.
const PROMISED: Duration = Duration::from_secs(20);
/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_next_request_is_answered_by_another_cloudlet_when_the_first_is_killed() {
    let world = World::new();
    let near = world.tier2("near", &[]).await;
    let far = world.tier2("far", &[]).await;
    let file = cloudlets(&[
        cloudlet("near", &near.url(), NEAR),
        cloudlet("far", &far.url(), FAR),
    ]);
    let tier1 = world.tier1(&file, &[]).await;
    let mut application = Command::new(&world.binaries().tier3)
        .args(["deploy", "helloworld", "--tier1-url", &tier1.url()])
        .args([
            "--location",
            "40.4406,-79.9959",
            "--failover-after",
            PATIENT,
        ])
        .args(["--", "bash", "-c", ASK_ON])
        .current_dir(world.path())
        .env("XDG_CACHE_HOME", world.path().join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut pages = BufReader::new(application.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, next(&mut pages)).await.unwrap();

    spawn_blocking(move || near.kill()).await.unwrap().unwrap();
    let killed = Instant::now();
    let answered = timeout(PROMISED + PATIENCE, async {
        loop {
            let page = next(&mut pages).await;
            if page != first {
                return page;
            }
        }
    });
    let second = answered.await.unwrap();

    assert!(killed.elapsed() <= PROMISED, "{:?}", killed.elapsed());
    assert!(second.starts_with("deployment: "), "{second}");
}

async fn next(pages: &mut Lines<BufReader<ChildStdout>>) -> String {
    pages.next_line().await.unwrap().unwrap()
}
