//! The dashboard, as somebody sees it who opens it in a browser.

mod accessibility;
mod browser;

use std::fmt::Write as _;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::Service;

use self::accessibility::serious_faults;
use self::browser::{Browser, DESKTOP, PHONE};
use super::support::{HELLOWORLD, World, cloudlets, eventually, send};

/// Says where to write the README's picture; without it the picture is made and looked at, and not kept.
const PICTURE: &str = "DASHBOARD_PICTURE";
/// Its width and height, and the most bytes that it may have.
const PICTURE_SIZE: (u32, u32) = (980, 660);
const PICTURE_BYTES: usize = 150 * 1024;
/// As many as the page has to bear.
const MANY: usize = 10_000;

/// Keeps the answer to the first question back until `release` is called, which is done when the page has had it.
const HOLD_FIRST_ANSWER: &str = "
    const ask = window.fetch;
    let isHeld = false;
    window.fetch = async (path, options) => {
        const answer = await ask(path, options);
        if (isHeld || !path.startsWith('api/v1/explain')) return answer;
        isHeld = true;
        const text = await answer.text();
        await new Promise((released) => {
            window.release = async () => {
                released();
                await new Promise((done) => setTimeout(done));
            };
        });
        return new Response(text, answer);
    };";

/// Has the page hidden until `hide(false)`, and takes no time for what it waits for when it is hidden.
const HIDDEN_AT_FIRST: &str = "
    let isHidden = true;
    Object.defineProperty(document, 'hidden', { get: () => isHidden });
    window.hide = (hidden) => {
        isHidden = hidden;
        document.dispatchEvent(new Event('visibilitychange'));
    };
    const wait = window.setTimeout;
    window.setTimeout = (work, time, ...more) => wait(work, time === 30000 ? 0 : time, ...more);";

const CITIES: [(&str, &str); 8] = [
    ("Pittsburgh", "[40.44, -79.99]"),
    ("Vienna", "[48.21, 16.37]"),
    ("Paris", "[48.86, 2.35]"),
    ("Madrid", "[40.42, -3.70]"),
    ("Nairobi", "[-1.29, 36.82]"),
    ("Singapore", "[1.35, 103.82]"),
    ("São Paulo", "[-23.55, -46.63]"),
    ("Seattle", "[47.61, -122.33]"),
];

#[tokio::test]
async fn it_shows_the_cloudlets_and_follows_their_reports() {
    let (world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;

    shows(&browser, "Nairobi: Never reported, CPU –, never").await;
    browser.run("window.sameAsBefore = true").await;
    report(
        &world,
        &tier1,
        "Nairobi",
        &json!({"resources": {"cpu_ratio": 0.42}}),
    )
    .await;
    shows(&browser, "Nairobi: Fresh, CPU 42 %").await;
    report(
        &world,
        &tier1,
        "Nairobi",
        &json!({"resources": {"cpu_ratio": 0.97}}),
    )
    .await;
    shows(&browser, "Nairobi: Overloaded, CPU 97 %").await;

    let names = browser
        .run("return [...document.querySelectorAll('#rows th')].map((cell) => cell.textContent)");
    let expected = [
        "Madrid",
        "Nairobi",
        "Paris",
        "Pittsburgh",
        "São Paulo",
        "Seattle",
        "Singapore",
        "Vienna",
    ];
    assert_eq!(names.await, json!(expected));
    assert_eq!(browser.run("return window.sameAsBefore").await, true);
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn a_cloudlet_is_opened_from_the_map_with_the_pointer_and_with_the_keyboard() {
    let (_world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    shows(&browser, "Nairobi: Never reported").await;

    browser.click(on_the_map(&browser, "Paris").await).await;
    opened(&browser, "Paris").await;
    browser.run("document.getElementById('map').focus()").await;
    browser.keys(&["0", "\u{e007}"]).await;

    // The one nearest to the middle of all.
    opened(&browser, "Madrid").await;
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn the_form_ranks_as_the_api_does() {
    let (world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    shows(&browser, "Nairobi: Never reported").await;
    let question = format!(
        "{}/api/v1/explain?client=198.51.100.7&location=50.11,8.68&uuid={HELLOWORLD}",
        tier1.url()
    );
    let explained = world.get(&question).await.json();
    let candidates = explained["candidates"].as_array().unwrap().iter();
    let expected: Vec<&Value> = candidates.map(|one| &one["cloudlet"]["name"]).collect();

    browser.fill("client", "198.51.100.7").await;
    browser.fill("place", "50.11, 8.68").await;
    browser.fill("recipe", "helloworld").await;
    browser
        .run("document.querySelector('#question .main').click()")
        .await;

    let answered = eventually("the form answers", async || {
        let names = "return [...document.querySelectorAll('.ranking button')].map((name) => name.textContent)";
        let names = browser.run(names).await;
        (names != json!([])).then_some(names)
    });
    assert_eq!(answered.await, json!(expected));
    assert_eq!(expected.len(), CITIES.len());
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn a_point_of_the_map_can_be_asked_about() {
    let (_world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    shows(&browser, "Nairobi: Never reported").await;

    browser.run("document.getElementById('pick').click()").await;
    browser.click(on_the_map(&browser, "Vienna").await).await;

    eventually("the nearest one is told", async || {
        let words = browser.text("#answer-words").await;
        words.ends_with("Vienna first.").then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_hides_in_a_name() {
    let (world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    let name = "a\u{202e}b\u{200b}c";
    let url = format!("{}/api/v1/cloudlets/", tier1.url());
    let said = json!({
        "uuid": "00000000-0000-0000-0000-0000000000ff", "endpoint": "http://c.example/api/v1/deploy", "name": name,
    });
    send(world.request(Method::POST, &url).body(said.to_string())).await;

    shows(&browser, "a�b�c: Fresh").await;
    browser.run("[...document.querySelectorAll('#rows button')].find((name) => name.textContent.startsWith('a')).click()").await;

    opened(&browser, "a�b�c").await;
    let hidden = "return /[\\u200b\\u202e]/.test(document.body.textContent)";
    assert_eq!(browser.run(hidden).await, false);
}

#[tokio::test]
async fn a_late_answer_takes_no_place_of_a_newer_one() {
    let (_world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    shows(&browser, "Nairobi: Never reported").await;
    browser.run(HOLD_FIRST_ANSWER).await;

    ask_from(&browser, "-1.29, 36.82").await;
    eventually("the first answer is held", async || {
        let is_held = browser.run("return Boolean(window.release)").await;
        (is_held == true).then_some(())
    })
    .await;
    ask_from(&browser, "48.21, 16.37").await;
    let newer = answer(&browser, "Vienna first.").await;
    browser
        .run_async("window.release().finally(() => setTimeout(arguments[0]))")
        .await;

    assert_eq!(browser.text("#answer-words").await, newer);
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn a_page_that_nobody_sees_pauses_and_shows_its_answer_when_it_is_seen_again() {
    let (_world, tier1) = start().await;
    let browser = Browser::open_with(&tier1.url(), HIDDEN_AT_FIRST).await;

    // It was opened in the background.
    link_says(&browser, "Paused").await;
    browser.run("window.hide(false)").await;
    link_says(&browser, "Live").await;
    shows(&browser, "Nairobi: Never reported").await;
    // Far from all of them, so that the lines are long.
    ask_from(&browser, "0, -120").await;
    answer(&browser, "Seattle first.").await;
    let mut before = 0;
    eventually("the answer is on the map", async || {
        before = lines(&browser).await;
        (before > 0).then_some(())
    })
    .await;
    browser.run("window.hide(true)").await;
    link_says(&browser, "Paused").await;
    browser.run("window.hide(false)").await;
    link_says(&browser, "Live").await;

    // Names may cover some of them, in another order than before.
    eventually("the lines of the answer are there again", async || {
        (lines(&browser).await > before / 2).then_some(())
    })
    .await;
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn who_is_no_operator_is_asked_for_a_token() {
    let world = World::new();
    let tokens = world.file("operators", "sesame\n");
    let tier1 = world.tier1(&fleet(), &["--operator-tokens", &tokens]).await;
    // As if by way of a proxy, for who is on this machine needs no token.
    let browser = Browser::open_by_proxy(&tier1.url()).await;

    asked(&browser, "is not for everyone").await;
    browser.fill("token-text", "guess").await;
    browser
        .run("document.querySelector('#token button').click()")
        .await;
    asked(&browser, "not one of an operator").await;
    let faults = serious_faults(&browser).await;
    browser.fill("token-text", "sesame").await;
    browser
        .run("document.querySelector('#token button').click()")
        .await;
    shows(&browser, "Nairobi: Never reported").await;

    assert_eq!(faults, json!([]));
    let kept = browser.run(
        "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]",
    );
    assert_eq!(kept.await, json!([["sesame"], [], ""]));
}

#[rstest]
#[case::light_on_a_desktop("light", DESKTOP)]
#[case::dark_on_a_desktop("dark", DESKTOP)]
#[case::light_on_a_phone("light", PHONE)]
#[case::dark_on_a_phone("dark", PHONE)]
#[tokio::test]
async fn nobody_is_shut_out(#[case] scheme: &str, #[case] size: (u32, u32)) {
    let (world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), size).await;
    browser.prefer(scheme).await;
    busy(&world, &tier1).await;
    open_all(&browser).await;

    assert_eq!(serious_faults(&browser).await, json!([]));
    let widths =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.run(widths).await, 0, "it scrolls sideways");
    assert_eq!(browser.complaints().await, json!([]));
}

#[tokio::test]
async fn the_picture_of_it_is_small() {
    let (world, tier1) = start().await;
    let browser = Browser::open(&tier1.url(), PICTURE_SIZE).await;
    busy(&world, &tier1).await;
    open_all(&browser).await;
    browser.run("scrollTo(0, 0)").await;

    let picture = browser.picture().await;

    assert!(picture.len() <= PICTURE_BYTES, "{} bytes", picture.len());
    if let Some(path) = std::env::var_os(PICTURE) {
        std::fs::write(path, picture).unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_cloudlets_are_drawn_and_moved() {
    let world = World::new();
    let tier1 = world.tier1(&many(), &[]).await;
    let browser = Browser::open(&tier1.url(), DESKTOP).await;
    eventually("all are there", async || {
        let page = browser.text("#page").await;
        page.ends_with("of 10,000 cloudlets").then_some(())
    })
    .await;

    let frames = browser.run_async(include_str!("dashboard/pan.js")).await;

    // Told and not judged: that depends on the machine, which draws without a GPU here.
    let told = serde_json::to_string(&frames).unwrap();
    println!("{MANY} cloudlets, milliseconds per frame (median, p95, longest): {told}");
    assert!(frames["all of them"][0].is_number() && frames["some of them"][0].is_number());
    assert_eq!(browser.complaints().await, json!([]));
}

async fn start() -> (World, Service) {
    let world = World::new();
    let tier1 = world.tier1(&fleet(), &["--allow-anonymous-reports"]).await;
    (world, tier1)
}

fn fleet() -> String {
    let documents = CITIES.map(|(name, place)| super::support::cloudlet(name, &url(name), place));
    cloudlets(&documents)
}

fn url(name: &str) -> String {
    let host: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    format!("http://{}.example", host.to_lowercase())
}

/// Where a cloudlet's mark is in the window.
async fn on_the_map(browser: &Browser, name: &str) -> (i64, i64) {
    let mut cities = CITIES;
    cities.sort_by_key(|(city, _)| *city != name);
    let places = cities.map(|(_, place)| serde_json::from_str::<Value>(place).unwrap());
    browser.on_the_map(&json!(places)).await
}

/// Ten thousand, evenly and in no order.
fn many() -> String {
    let mut file = String::new();
    for number in 0..MANY {
        let latitude = number * 7919 % 12_000;
        let longitude = number * 104_729 % 36_000;
        let (latitude, longitude) = (
            latitude as f64 / 100.0 - 50.0,
            longitude as f64 / 100.0 - 180.0,
        );
        write!(
            file,
            "---\nname: cloudlet {number}\nendpoint: http://c{number}.example/api/v1/deploy\nlocation: [{latitude}, {longitude}]\n\
             local_networks: [10.0.0.0/8]\n"
        )
        .unwrap();
    }
    file
}

/// Lets a cloudlet of the file report.
async fn report(world: &World, tier1: &Service, name: &str, said: &Value) {
    let mut body = said.clone();
    body["endpoint"] = json!(format!("{}/api/v1/deploy", url(name)));
    let place = CITIES.iter().position(|(city, _)| *city == name).unwrap();
    body["uuid"] = json!(format!("00000000-0000-0000-0000-{place:012}"));
    let url = format!("{}/api/v1/cloudlets/", tier1.url());
    let answer = send(world.request(Method::POST, &url).body(body.to_string())).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
}

/// Lets most cloudlets report something.
async fn busy(world: &World, tier1: &Service) {
    for (place, (name, _)) in CITIES.iter().enumerate().skip(1) {
        let part = |factor: usize| (place * factor % 80) as f64 / 100.0;
        let cpu = if place == 3 { 0.96 } else { part(31) };
        let resources = json!({"cpu_ratio": cpu, "mem_ratio": part(53), "net_rx_rate": 1_250_000});
        report(world, tier1, name, &json!({"resources": resources})).await;
    }
}

/// Shows one cloudlet and an answer, so that everything is there which can be.
async fn open_all(browser: &Browser) {
    shows(browser, "Madrid: Overloaded").await;
    browser.fill("client", "198.51.100.7").await;
    browser.fill("place", "50.11, 8.68").await;
    browser
        .run("document.querySelector('#question .main').click()")
        .await;
    browser
        .run("document.querySelector('#rows button').click()")
        .await;
    opened(browser, "Madrid").await;
    eventually("the form answers", async || {
        let words = browser.text("#answer-words").await;
        words.contains("first").then_some(())
    })
    .await;
}

/// Asks who would get a client at this place.
async fn ask_from(browser: &Browser, place: &str) {
    browser.fill("place", place).await;
    browser
        .run("document.querySelector('#question .main').click()")
        .await;
}

/// Waits for an answer that ends so, and gives all of its words.
async fn answer(browser: &Browser, end: &str) -> String {
    eventually(end, async || {
        let words = browser.text("#answer-words").await;
        words.ends_with(end).then_some(words)
    })
    .await
}

/// Waits until the page tells this of its connection.
async fn link_says(browser: &Browser, words: &str) {
    eventually(words, async || {
        (browser.text("#link-words").await == words).then_some(())
    })
    .await;
}

/// How many pixels of the map have the colour of an answer's lines.
async fn lines(browser: &Browser) -> u64 {
    let script = "
        const map = document.getElementById('map');
        const context = new OffscreenCanvas(map.width, map.height).getContext('2d', { willReadFrequently: true });
        const pixels = () => new Uint32Array(context.getImageData(0, 0, map.width, map.height).data.buffer);
        context.fillStyle = getComputedStyle(map).getPropertyValue('--accent');
        context.fillRect(0, 0, 1, 1);
        const [accent] = pixels();
        context.drawImage(map, 0, 0);
        return pixels().reduce((count, pixel) => count + (pixel === accent), 0);";
    browser.run(script).await.as_u64().unwrap()
}

/// Waits until a row of the list begins so: name, state, processor, how long ago it reported.
async fn shows(browser: &Browser, row: &str) {
    let rows = "return [...document.querySelectorAll('#rows tr')].map((row) => {
        const [name, state, cpu, , , , reported] = [...row.children].map((cell) => cell.textContent);
        return `${name}: ${state}, CPU ${cpu}, ${reported}`;
    })";
    eventually(row, async || {
        let rows = browser.run(rows).await;
        let rows = rows.as_array()?;
        rows.iter()
            .any(|shown| shown.as_str().is_some_and(|shown| shown.starts_with(row)))
            .then_some(())
    })
    .await;
}

/// Waits until the page shows this cloudlet with all that is known of it.
async fn opened(browser: &Browser, name: &str) {
    eventually(&format!("{name} is opened"), async || {
        let title = browser.text("#detail-title").await;
        let body = browser.text("#detail-body").await;
        (title == name && body.contains("UUID")).then_some(())
    })
    .await;
}

/// Waits until the page asks for a token, with these words.
async fn asked(browser: &Browser, words: &str) {
    eventually(words, async || {
        let why = browser.text("#token-why").await;
        why.contains(words).then_some(())
    })
    .await;
}
