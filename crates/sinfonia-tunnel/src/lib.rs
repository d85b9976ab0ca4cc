//! Userspace WireGuard of Sinfonia.
//!
//! [`endpoint`] speaks the protocol without any I/O: datagrams, packets and the time go in, datagrams and packets come out.
//! [`confinement`] runs an application whose only way out is a tunnel.

#[cfg(target_os = "linux")]
pub mod confinement;
pub mod endpoint;
