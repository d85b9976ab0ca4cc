use std::time::Duration;

use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::tier1::{Cloudlets, Running, client, uuid};
use crate::tier2::{Does, FakeTier2};

/// What a browser says that it takes.
const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
/// Says that the request comes from elsewhere.
const RELAYED: (&str, &str) = ("via", "1.1 proxy");
const PATIENCE: Duration = Duration::from_secs(30);

#[rstest]
#[case::a_browser(&[], &[BROWSER], "text/html; charset=utf-8")]
#[case::a_probe(&[], &[("accept", "*/*")], "application/json")]
#[case::one_that_says_nothing(&[], &[], "application/json")]
#[case::a_browser_where_there_is_none(&["--no-dashboard"], &[BROWSER], "application/json")]
#[tokio::test]
async fn the_root_is_a_page_for_browsers_alone(
    #[case] options: &[&str],
    #[case] headers: &[(&str, &str)],
    #[case] media_type: &str,
) {
    let tier1 = Running::with_options(Cloudlets::default(), options).await;

    let answer = tier1.ask_url(Method::GET, &url(&tier1, ""), headers).await;

    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("content-type"), Some(media_type));
    if media_type == "application/json" {
        assert_eq!(answer.body, json!({}));
    }
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere_and_is_sent_once() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let page = tier1
        .ask_url(Method::GET, &url(&tier1, ""), &[BROWSER])
        .await;
    let script = tier1
        .ask_url(Method::GET, &url(&tier1, "dashboard/app.js"), &[])
        .await;
    let tag = script.header("etag").unwrap();
    let again = [("if-none-match", tag)];
    let again = tier1
        .ask_url(Method::GET, &url(&tier1, "dashboard/app.js"), &again)
        .await;
    let nothing = tier1
        .ask_url(Method::GET, &url(&tier1, "dashboard/cargo.toml"), &[])
        .await;

    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; "),
        "{policy}"
    );
    assert_eq!(page.header("vary"), Some("accept"));
    assert_eq!(
        script.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(again.status.as_u16(), 304);
    nothing.problem(404);
}

#[rstest]
#[case::on_this_machine(&[], &[], 200)]
#[case::relayed(&[], &[RELAYED], 401)]
#[case::wrong_token(&[], &[RELAYED, ("authorization", "Bearer wrong")], 403)]
#[case::operator(&[], &[RELAYED, ("authorization", "Bearer secret")], 200)]
#[case::public(&["--public-explain"], &[RELAYED], 200)]
#[case::none(&["--no-dashboard"], &[], 404)]
#[tokio::test]
async fn what_is_known_of_cloudlets_is_for_those_who_may_ask_for_explanations(
    #[case] options: &[&str],
    #[case] headers: &[(&str, &str)],
    #[case] expected: u16,
) {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("operators");
    std::fs::write(&tokens, "secret\n").unwrap();
    let tokens = format!("--operator-tokens={}", tokens.display());
    let options = [&[tokens.as_str()][..], options].concat();
    let cloudlets = Cloudlets::default().and("192.0.2.1:5000".parse().unwrap(), "");
    let tier1 = Running::with_options(cloudlets, &options).await;

    let mut found = Vec::new();
    for path in [
        "dashboard/events",
        "dashboard/recipes",
        &format!("dashboard/cloudlets/{}", uuid(1)),
    ] {
        let request = client().get(url(&tier1, path));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        // The answer to the first has no end.
        found.push(request.send().await.unwrap().status().as_u16());
    }

    assert_eq!(found, [expected; 3]);
}

#[tokio::test]
async fn who_listens_is_told_everything_and_then_what_changes() {
    let fake = FakeTier2::start(Does::Deploys).await;
    let cloudlets = Cloudlets::of(&[&fake]);
    let tier1 = Running::with_options(cloudlets, &["--allow-anonymous-reports"]).await;
    let mut events = Events::of(&tier1).await;

    let mut first = events.next().await.unwrap();
    let reported = tier1
        .report_resources(&fake_url(&fake), &json!({"cpu_ratio": 0.25}))
        .await;
    let mut second = events.next().await.unwrap();

    assert_eq!(reported.as_u16(), 204);
    assert!(first["now"].take().is_i64());
    let expected = json!({
        "now": null, "total": 1, "all": true,
        "known": [[0, uuid(1), "cloudlet 1", [0.0, 1.0]]],
        "read": [[0, 5, null, null, null, null, 0]],
    });
    assert_eq!(first, expected);
    assert!(second["now"].take().is_i64());
    assert!(second["read"][0][2].take().is_i64());
    let expected = json!({"now": null, "total": 1, "read": [[0, 0, null, 0.25, null, null, 0]]});
    assert_eq!(second, expected);
}

#[tokio::test]
async fn a_circuit_that_opens_is_seen() {
    let fake = FakeTier2::start(Does::Answers(
        StatusCode::INTERNAL_SERVER_ERROR,
        vec![],
        vec![],
    ))
    .await;
    let tier1 = Running::with(Cloudlets::of(&[&fake])).await;
    let mut events = Events::of(&tier1).await;
    events.next().await;

    for number in 1..=5 {
        tier1.deploy_as(number).await;
    }
    let mut state = Value::Null;
    while state != 2 {
        state = events.next().await.unwrap()["read"][0][1].take();
    }

    let path = format!("dashboard/cloudlets/{}", uuid(1));
    let detail = tier1.ask_url(Method::GET, &url(&tier1, &path), &[]).await;
    assert_eq!(detail.body["state"], "circuit-open");
    assert_eq!(detail.body["origin"], "file");
    assert_eq!(detail.body["name"], "cloudlet 1");
}

#[tokio::test]
async fn listeners_are_bounded_and_make_room_for_others() {
    let tier1 = Running::with_options(Cloudlets::default(), &["--public-explain"]).await;
    let http = client();
    let mut listeners = Vec::new();
    for caller in 0..64 {
        let address = format!("198.51.100.{}", caller / 8);
        listeners.push(Events::for_caller(&http, &tier1, &[("x-forwarded-for", &address)]).await);
    }

    let mut refused = Vec::new();
    for address in ["198.51.100.7", "198.51.100.8"] {
        let caller = [("x-forwarded-for", address)];
        let answer = tier1
            .ask_url(Method::GET, &url(&tier1, "dashboard/events"), &caller)
            .await;
        refused.push(answer.problem(503).to_owned());
    }
    drop(listeners);

    let expected = [
        "8 from this address look at the dashboard already: close one of its pages",
        "too many look at the dashboard",
    ];
    assert_eq!(refused, expected);
    let listens = async {
        while client()
            .get(url(&tier1, "dashboard/events"))
            .send()
            .await
            .unwrap()
            .status()
            != 200
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listens).await.unwrap();
}

#[tokio::test]
async fn listeners_do_not_hold_up_the_end() {
    let tier1 = Running::with_options(Cloudlets::default(), &["--shutdown-timeout=3600"]).await;
    let mut events = Events::of(&tier1).await;
    events.next().await;

    tier1.stop().await;

    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn recipes_are_suggested() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let answer = tier1
        .ask_url(Method::GET, &url(&tier1, "dashboard/recipes"), &[])
        .await;

    let expected = json!([
        {"uuid": "00000000-0000-0000-0000-000000000000", "description": "Hello"},
        {"uuid": "00000000-0000-0000-0000-000000000001"},
    ]);
    assert_eq!(answer.body, expected);
}

/// The events, as they come.
struct Events {
    response: reqwest::Response,
    read: String,
}

impl Events {
    async fn of(tier1: &Running) -> Self {
        Self::for_caller(&client(), tier1, &[]).await
    }

    async fn for_caller(http: &reqwest::Client, tier1: &Running, headers: &[(&str, &str)]) -> Self {
        let request = http.get(url(tier1, "dashboard/events"));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            read: String::new(),
        }
    }

    /// The next one's data; `None` when there are no more.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                // Others keep the connection alive.
                let data = event.strip_prefix("data: ");
                let data = data.map(|data| serde_json::from_str(data).unwrap());
                self.read = rest.to_owned();
                if data.is_some() {
                    return data;
                }
                continue;
            }
            let more = timeout(PATIENCE, self.response.chunk()).await.unwrap();
            self.read += std::str::from_utf8(&more.unwrap()?).unwrap();
        }
    }
}

fn url(tier1: &Running, path: &str) -> String {
    format!("http://{}/{path}", tier1.address)
}

fn fake_url(fake: &FakeTier2) -> String {
    format!("http://{}/api/v1/deploy", fake.address)
}
