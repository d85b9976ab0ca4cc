//! A real Prometheus.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sinfonia_service::client::{self, ClientError, ClientSettings};

use crate::process::Process;
use crate::runtime::wait_for;
use crate::{Programs, ReservedPort, ServiceError};

/// Time that it has to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why Prometheus does not do what a test asked for.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// It does not run.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Its files cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No port is left, or the test bed's own tasks do not run.
    #[error("cannot set up what Prometheus needs")]
    SetUp(#[source] io::Error),
    /// No HTTP client can be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It cannot be asked.
    #[error("cannot ask Prometheus")]
    Unreachable(#[source] reqwest::Error),
    /// A query is malformed.
    #[error("Prometheus does not understand {query}: {message}")]
    Query {
        /// The query.
        query: String,
        /// Prometheus' words.
        message: String,
    },
    /// A query did not give what a test wanted in time.
    #[error("{query} did not give what is wanted within {} s, but {last}", timeout.as_secs())]
    TimedOut {
        /// The query.
        query: String,
        /// What it gave last.
        last: Value,
        /// How long.
        timeout: Duration,
    },
}

/// A real Prometheus that scrapes every second. It is killed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    program: PathBuf,
    folder: PathBuf,
    port: ReservedPort,
    client: reqwest::Client,
    process: Option<Process>,
}

impl Prometheus {
    /// Starts one on a free port and waits until it is ready. Its configuration, data and log are in this folder. `rules` is the text of
    /// a rule file, or empty.
    ///
    /// # Errors
    /// It does not run, or is not ready within a minute.
    pub fn start(
        programs: &Programs,
        folder: &Path,
        scrape_targets: &[SocketAddr],
        rules: &str,
    ) -> Result<Self, PrometheusError> {
        write_files(folder, scrape_targets, rules)?;
        let mut prometheus = Self {
            program: programs.prometheus.clone(),
            folder: folder.to_owned(),
            port: ReservedPort::new().map_err(PrometheusError::SetUp)?,
            client: client::build(&ClientSettings::new("sinfonia-testbed"))?,
            process: None,
        };
        prometheus.restart()?;
        Ok(prometheus)
    }

    /// Its base URL, without trailing slash.
    pub fn url(&self) -> String {
        self.port.url()
    }

    /// Stops it at once. Connections to its port are refused from now on.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, on the port that it always had and with the data that it had, and waits until it is ready.
    ///
    /// # Errors
    /// It does not run, or is not ready within a minute.
    pub fn restart(&mut self) -> Result<(), PrometheusError> {
        self.stop();
        let mut command = Command::new(&self.program);
        command
            .arg("--config.file")
            .arg(self.folder.join("prometheus.yml"))
            .arg("--storage.tsdb.path")
            .arg(self.folder.join("prometheus"))
            .arg("--storage.tsdb.no-lockfile")
            .arg(format!(
                "--web.listen-address=127.0.0.1:{}",
                self.port.number()
            ))
            .arg("--log.level=warn");
        let mut process = Process::start("prometheus", command, &self.folder)?;
        let begun = Instant::now();
        while !matches!(self.get("/-/ready", &[]), Ok((200, _))) {
            if !process.runs() || begun.elapsed() > PATIENCE {
                return Err(process.not_up().into());
            }
            thread::sleep(POLL);
        }
        self.process = Some(process);
        Ok(())
    }

    /// Asks a query and returns its result: for an expression, a list of `{metric, value}`.
    ///
    /// # Errors
    /// It cannot be asked, or does not understand.
    pub fn query(&self, query: &str) -> Result<Value, PrometheusError> {
        let (_, mut answer) = self.get("/api/v1/query", &[("query", query)])?;
        if answer["status"] == "success" {
            return Ok(answer["data"]["result"].take());
        }
        Err(PrometheusError::Query {
            query: query.to_owned(),
            message: answer["error"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Asks a query until its result is as wanted, and returns that.
    ///
    /// # Errors
    /// That takes longer than `timeout`, or Prometheus cannot be asked.
    pub fn wait_for(
        &self,
        query: &str,
        timeout: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, PrometheusError> {
        let begun = Instant::now();
        loop {
            let last = self.query(query)?;
            if wanted(&last) {
                return Ok(last);
            }
            if begun.elapsed() > timeout {
                return Err(PrometheusError::TimedOut {
                    query: query.to_owned(),
                    last,
                    timeout,
                });
            }
            thread::sleep(POLL);
        }
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<(u16, Value), PrometheusError> {
        let request = self
            .client
            .get(format!("{}{path}", self.url()))
            .query(query)
            .timeout(REQUEST_TIMEOUT);
        let answer = async move {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.bytes().await?))
        };
        let (status, body) = wait_for(answer)
            .map_err(PrometheusError::SetUp)?
            .map_err(PrometheusError::Unreachable)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn write_files(
    folder: &Path,
    scrape_targets: &[SocketAddr],
    rules: &str,
) -> Result<(), PrometheusError> {
    let rule_files = if rules.is_empty() {
        json!([])
    } else {
        json!(["rules.yml"])
    };
    // Prometheus reads YAML, of which JSON is a part.
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": rule_files,
        "scrape_configs": [{
            "job_name": "testbed",
            "static_configs": [{"targets": scrape_targets}],
        }],
    });
    let configuration = configuration.to_string();
    for (name, text) in [
        ("prometheus.yml", configuration.as_str()),
        ("rules.yml", rules),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| PrometheusError::Write { path, source })?;
    }
    Ok(())
}
