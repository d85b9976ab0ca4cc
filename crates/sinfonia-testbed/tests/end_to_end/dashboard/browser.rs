//! A browser without a screen: Chromium, led by its driver through the W3C's WebDriver protocol.
//!
//! What is needed of the protocol is JSON over HTTP and half of it the driver's own, so that a crate for it would save little.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use sinfonia_service::client::{ClientSettings, build};

/// Width and height of windows, in pixels.
pub(super) const DESKTOP: (u32, u32) = (1280, 900);
pub(super) const PHONE: (u32, u32) = (390, 844);

/// What makes a caller one from elsewhere.
const RELAYED: &str = "203.0.113.9";
/// Time for one command, on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. It ends with this.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    http: Client,
}

impl Browser {
    /// Opens a page in a window of this size.
    pub(super) async fn open(url: &str, size: (u32, u32)) -> Self {
        let browser = Self::start(size).await;
        browser.command("url", json!({"url": url})).await;
        browser
    }

    /// Opens a page as if by way of a proxy.
    pub(super) async fn open_by_proxy(url: &str) -> Self {
        let browser = Self::start(DESKTOP).await;
        browser.developer("Network.enable", json!({})).await;
        let headers = json!({"headers": {"X-Forwarded-For": RELAYED}});
        browser
            .developer("Network.setExtraHTTPHeaders", headers)
            .await;
        browser.command("url", json!({"url": url})).await;
        browser
    }

    /// Opens a page that finds itself changed by a script before its own ones run.
    pub(super) async fn open_with(url: &str, script: &str) -> Self {
        let browser = Self::start(DESKTOP).await;
        let source = json!({"source": script});
        browser
            .developer("Page.addScriptToEvaluateOnNewDocument", source)
            .await;
        browser.command("url", json!({"url": url})).await;
        browser
    }

    /// Runs a function's body in the page, and gives what it returns.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// Runs a function's body in the page, and gives what it calls its argument with.
    pub(super) async fn run_async(&self, script: &str) -> Value {
        self.command("execute/async", json!({"script": script, "args": []}))
            .await
    }

    /// The text of what a selector finds.
    pub(super) async fn text(&self, selector: &str) -> String {
        let text = self
            .run(&format!(
                "return document.querySelector('{selector}').textContent"
            ))
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Writes into a field.
    pub(super) async fn fill(&self, id: &str, text: &str) {
        self.run(&format!("document.getElementById('{id}').value = '{text}'"))
            .await;
    }

    /// Where in the window the first of these places is once the map shows all of them, by the page's own projection. They are
    /// [latitude, longitude].
    pub(super) async fn on_the_map(&self, places: &Value) -> (i64, i64) {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            document.getElementById('zoom-all').click();
            import('/dashboard/view.js').then(({{ View, worldX, worldY }}) => {{
                const canvas = document.getElementById('map');
                const view = new View();
                view.resize(canvas.clientWidth, canvas.clientHeight);
                const places = {places}.map(([y, x]) => [worldX(x), worldY(y)]);
                const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
                view.show([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
                canvas.scrollIntoView({{ block: 'center' }});
                const box = canvas.getBoundingClientRect();
                const point = [box.left + view.screenX(xs[0]), box.top + view.screenY(ys[0])];
                requestAnimationFrame(() => done(point.map(Math.round)));
            }});"
        );
        let point = self.run_async(&script).await;
        (point[0].as_i64().unwrap(), point[1].as_i64().unwrap())
    }

    /// Clicks at a point of the window.
    pub(super) async fn click(&self, (x, y): (i64, i64)) {
        let steps = json!([
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]);
        let actions = json!({"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]});
        self.command("actions", actions).await;
    }

    /// Presses keys one after the other.
    pub(super) async fn keys(&self, keys: &[&str]) {
        let strokes = keys.iter();
        let strokes = strokes
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})));
        let strokes: Vec<Value> = strokes.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]});
        self.command("actions", actions).await;
    }

    /// Lets the reader prefer light or dark.
    pub(super) async fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.developer("Emulation.setEmulatedMedia", json!({"features": [feature]}))
            .await;
    }

    /// The window as a PNG.
    pub(super) async fn picture(&self) -> Vec<u8> {
        let picture = self.call("GET", "screenshot", None).await;
        STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// What the page and the browser had to complain about.
    pub(super) async fn complaints(&self) -> Value {
        self.command("se/log", json!({"type": "browser"})).await
    }

    async fn start(size: (u32, u32)) -> Self {
        let (driver, port) = start_driver();
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            http: build(&ClientSettings::new("browser-test")).unwrap(),
        };
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"],
        });
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let session = json!({"capabilities": {"alwaysMatch": wanted}});
        let session = browser.ask("POST", "/session", Some(session)).await;
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        let (width, height) = size;
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE});
        browser
            .developer("Emulation.setDeviceMetricsOverride", screen)
            .await;
        browser
    }

    /// A command of the browser's developer tools.
    async fn developer(&self, name: &str, parameters: Value) -> Value {
        let body = json!({"cmd": name, "params": parameters});
        self.command("goog/cdp/execute", body).await
    }

    async fn command(&self, name: &str, body: Value) -> Value {
        self.call("POST", name, Some(body)).await
    }

    async fn call(&self, method: &str, name: &str, body: Option<Value>) -> Value {
        self.ask(method, &format!("/session/{}/{name}", self.session), body)
            .await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://{}:{}{path}", Ipv4Addr::LOCALHOST, self.port);
        let request = self
            .http
            .request(method.parse().unwrap(), url)
            .timeout(PATIENCE);
        let request = body
            .iter()
            .fold(request, |request, body| request.json(body));
        let answer = request.send().await.unwrap();
        let (status, mut answer) = (answer.status(), answer.json::<Value>().await.unwrap());
        let value = answer["value"].take();
        assert!(status.is_success(), "{path}: {value}");
        value
    }
}

impl Drop for Browser {
    /// The driver ends the browser with the session, and leaves it when it is killed.
    fn drop(&mut self) {
        if let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                self.session
            );
            let _ = connection.set_read_timeout(Some(PATIENCE));
            let _ = connection.write_all(request.as_bytes());
            let _ = connection.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts the driver on a free port, which it tells.
fn start_driver() -> (Child, u16) {
    let mut command = Command::new("chromedriver");
    command
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut driver = command.spawn().unwrap_or_else(|error| {
        panic!("cannot start chromedriver: {error}\nhint: apt install chromium chromium-driver")
    });
    // Its output stays open, for it ends when it can write no more.
    let mut output = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    let port = loop {
        line.clear();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "chromedriver ended"
        );
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            break port.trim_end().trim_end_matches('.').parse().unwrap();
        }
    };
    driver.stdout = Some(output.into_inner());
    (driver, port)
}
