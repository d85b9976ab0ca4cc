//! Ports that are known before anything listens on them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port that the system gives to nobody else. Connections to it are refused until a service that is told to listens there.
#[derive(Debug)]
pub struct ReservedPort {
    /// Bound but not listening: the system lets another socket listen on the port if it asks for this very one and, as services do, for
    /// the reuse of addresses.
    _socket: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free port.
    ///
    /// # Errors
    /// The system has none left.
    pub fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            _socket: socket,
            address,
        })
    }

    /// The port's number.
    pub const fn number(&self) -> u16 {
        self.address.port()
    }

    /// The base URL of a service on this port, without trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_are_refused_until_somebody_listens() {
        let port = ReservedPort::new().unwrap();

        let before = TcpStream::connect(port.address).map_err(|error| error.kind());
        let _listener = TcpListener::bind(port.address).unwrap();
        let after = TcpStream::connect(port.address);

        assert!(matches!(before, Err(ErrorKind::ConnectionRefused)));
        assert!(after.is_ok());
    }
}
