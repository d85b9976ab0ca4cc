//! Servers that behave as badly as a test wants.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most bytes of a request's head.
const LONGEST_HEAD: usize = 64 * 1024;

/// A server on loopback that answers each request as it is told, and tells what it was asked.
pub(super) struct FakeServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _running: JoinSet<()>,
}

/// The head of a request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    /// By their names in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

/// What a fake server does about a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Says nothing, as long as the other end waits.
    Silence,
    /// Resets the connection.
    Reset,
}

/// A relay before a service: what comes goes on at once, what the service answers is held until the relay is opened.
pub(super) struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _running: JoinSet<()>,
}

impl FakeServer {
    /// Starts a server that answers as `reply` says.
    pub(super) async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let (listener, address) = listen().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reply, log) = (Arc::new(reply), Arc::clone(&seen));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                connections.spawn(async move {
                    // The other end may go whenever it likes.
                    let _ = answer(stream, &*reply, &log).await;
                });
            }
        });
        Self {
            address,
            seen,
            _running: running,
        }
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without trailing slash.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that came so far with this method.
    pub(super) fn seen(&self, method: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        let of_method = seen.iter().filter(|seen| seen.method == method);
        of_method.cloned().collect()
    }
}

impl Reply {
    /// An answer with this status line, header lines and body.
    pub(super) fn http(status: &str, headers: &[&str], body: &str) -> Self {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        Self::Bytes(
            format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
                .into_bytes(),
        )
    }
}

impl Relay {
    /// Starts a relay to this address.
    pub(super) async fn start(to: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let open = watch::Sender::new(false);
        let opened = open.subscribe();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let opened = opened.clone();
                connections.spawn(async move {
                    // Either end may go whenever it likes.
                    let _ = relay(stream, to, opened).await;
                });
            }
        });
        Self {
            address,
            open,
            _running: running,
        }
    }

    /// The base URL, without trailing slash.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets answers through.
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn answer(
    mut stream: TcpStream,
    reply: &(dyn Fn(&Seen) -> Reply + Send + Sync),
    log: &Mutex<Vec<Seen>>,
) -> io::Result<()> {
    let seen = read_head(&mut stream).await?;
    let reply = reply(&seen);
    log.lock().unwrap().push(seen);
    match reply {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Silence => {
            // Nothing more comes; this ends when the other end does.
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        Reply::Reset => stream.set_zero_linger(),
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        head.push(stream.read_u8().await?);
    }
    parse_head(&String::from_utf8_lossy(&head)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_head(head: &str) -> Option<Seen> {
    let (request, rest) = head.split_once("\r\n")?;
    let mut words = request.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = rest.split("\r\n").filter_map(header).collect();
    Some(Seen {
        method,
        target,
        headers,
    })
}

async fn relay(
    mut stream: TcpStream,
    to: SocketAddr,
    mut opened: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut service = TcpStream::connect(to).await?;
    let (mut from_client, mut to_client) = stream.split();
    let (mut from_service, mut to_service) = service.split();
    let back = async {
        let open = opened.wait_for(|open| *open).await.is_ok();
        if open {
            copy(&mut from_service, &mut to_client).await?;
        }
        io::Result::Ok(())
    };
    let there = async {
        copy(&mut from_client, &mut to_service).await?;
        to_service.shutdown().await
    };
    tokio::try_join!(there, back).map(drop)
}
