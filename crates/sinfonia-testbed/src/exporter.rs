//! A metrics page whose text a test decides.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Longest time that a caller may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tiny HTTP server on a loopback port of its own that answers every request with a text in Prometheus' format. It stops when it is
/// dropped.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    page: Arc<Page>,
}

#[derive(Debug)]
struct Page {
    text: Mutex<String>,
    gone: AtomicBool,
}

impl Exporter {
    /// Starts one with this text.
    ///
    /// # Errors
    /// No port is left.
    pub fn start(text: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let page = Arc::new(Page {
            text: Mutex::new(text.to_owned()),
            gone: AtomicBool::new(false),
        });
        let served = Arc::clone(&page);
        thread::spawn(move || serve(&listener, &served));
        Ok(Self { address, page })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the text.
    pub fn set(&self, text: &str) {
        let mut page = self
            .page
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        text.clone_into(&mut page);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.page.gone.store(true, Ordering::Release);
        // It notices with the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(listener: &TcpListener, page: &Page) {
    for connection in listener.incoming().map_while(Result::ok) {
        if page.gone.load(Ordering::Acquire) {
            return;
        }
        let text = page
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A caller that goes away early asks again.
        let _ = answer(&connection, &text);
    }
}

fn answer(mut connection: &TcpStream, text: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    for line in BufReader::new(connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
