//! How cloudlets are found on a local network: DNS-SD over mDNS (RFC 6763, RFC 6762).

/// The service type under which a Tier 2 announces its HTTP port.
pub const SERVICE_TYPE: &str = "_sinfonia._tcp.local.";

/// The name of an instance; the second one on a network becomes `cloudlet (2)`.
pub const INSTANCE: &str = "cloudlet";

/// The property that holds the path before `/api/v1`.
pub const PATH_PROPERTY: &str = "path";
