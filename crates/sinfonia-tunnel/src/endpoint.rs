//! A WireGuard endpoint without I/O.
