//! Userspace WireGuard of Sinfonia.
//!
//! [`endpoint`] speaks the protocol without any I/O: datagrams, packets and the time go in, datagrams and packets come out.
//! [`driver`] runs it on Linux, between a TUN device and a UDP socket.
//! [`userspace`] runs it on any system, between a UDP socket and TCP/IP stacks in this process.
//! [`confinement`] runs an application whose only way out is a tunnel.

mod clock;
#[cfg(target_os = "linux")]
pub mod confinement;
#[cfg(target_os = "linux")]
pub mod driver;
pub mod endpoint;
pub mod userspace;
