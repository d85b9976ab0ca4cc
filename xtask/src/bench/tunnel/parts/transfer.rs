//! A file that is sent through the tunnel.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

const BLOCK: usize = 1 << 16;
/// Time in which a connection has to come about, and without any progress after which it is given up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn receive(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).context("cannot listen")?;
    println!("up");
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut file = File::default();
    let mut block = vec![0; BLOCK];
    loop {
        match stream.read(&mut block).context("the sender is silent")? {
            0 => break,
            length => file.add(&block[..length]),
        }
    }
    file.print();
    Ok(())
}

pub(super) fn send(address: SocketAddr, length: u64) -> anyhow::Result<()> {
    let mut stream = connect(address)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let mut bytes = RandomBytes(u64::from_ne_bytes(seed));
    let mut file = File::default();
    let mut block = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        bytes.fill(&mut block[..part]);
        stream
            .write_all(&block[..part])
            .context("the receiver takes no more")?;
        file.add(&block[..part]);
        left -= part as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The end of the stream says that all of it was taken.
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_to_end(&mut Vec::new())?;
    file.print();
    Ok(())
}

/// Connects through a tunnel whose handshake may still be to come.
fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                ensure!(begun.elapsed() < PATIENCE, "cannot connect: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[derive(Default)]
struct File {
    hash: Sha256,
    length: u64,
}

impl File {
    fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn print(self) {
        let hash = self.hash.finalize();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{hash} {}", self.length);
    }
}

/// Numbers in no visible order: splitmix64.
struct RandomBytes(u64);

impl RandomBytes {
    fn fill(&mut self, block: &mut [u8]) {
        for chunk in block.chunks_mut(8) {
            let bytes = self.next().to_ne_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    const fn next(&mut self) -> u64 {
        let number = super::relay::mix(self.0);
        self.0 = self.0.wrapping_add(1);
        number
    }
}
