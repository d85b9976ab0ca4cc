//! Why a node cannot be guarded.

use std::io;
use std::net::SocketAddr;

use super::nft::NftError;
use crate::cluster::kubernetes::StartError;

/// Why a node cannot be guarded.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// There is no cluster whose pods it could know.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// This node's nftables cannot be used.
    #[error("the nftables of this node cannot be used")]
    Nft(#[from] NftError),
    /// The admin port is taken or not allowed.
    #[error("cannot listen on {address} (--admin-listen)")]
    Listen {
        /// What was to be listened on.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl GuardError {
    /// What the user can do about it, if that is not clear from the error.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Cluster(StartError::NoCluster) => {
                Some("give --kubeconfig FILE, or run it as deploy/tier2/guard.yaml does")
            }
            Self::Nft(NftError::Run { .. }) => {
                Some("apt install nftables, or give the program with --nft")
            }
            Self::Nft(NftError::Refused(_)) => Some(
                "it needs root with the capability NET_ADMIN, nft 1.0 or newer, and a kernel with nf_tables, nf_conntrack and nft_fib_inet",
            ),
            Self::Listen { .. } => Some("--admin-listen off does without"),
            Self::Cluster(_) | Self::Nft(_) => None,
        }
    }
}
