//! What fails on the way to a confined application, at which step.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A step on the way to a confined application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Leaving the namespaces of the host.
    Unshare,
    /// Keeping the user's and the group's id in the new user namespace.
    MapIds,
    /// Hiding later mounts from the host.
    PrivateMounts,
    /// Hiding the services that would resolve names outside of the tunnel.
    Masks,
    /// Giving the application a resolver of its own.
    Resolver,
    /// Opening `/dev/net/tun`.
    OpenTun,
    /// Making a TUN device.
    MakeTun,
    /// Opening a socket for the device's settings.
    Netlink,
    /// Entering namespaces that are there already.
    Enter,
    /// Giving up rights.
    Privileges,
    /// Executing the application.
    Execute,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Unshare,
        Self::MapIds,
        Self::PrivateMounts,
        Self::Masks,
        Self::Resolver,
        Self::OpenTun,
        Self::MakeTun,
        Self::Netlink,
        Self::Enter,
        Self::Privileges,
        Self::Execute,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Unshare => "cannot make namespaces for the application",
            Self::MapIds => "cannot keep the user's id in a namespace",
            Self::PrivateMounts => "cannot make mounts private",
            Self::Masks => "cannot hide the host's name services from the application",
            Self::Resolver => "cannot give the application a resolv.conf of its own",
            Self::OpenTun => "cannot open /dev/net/tun",
            Self::MakeTun => "cannot make a TUN device",
            Self::Netlink => "cannot open a netlink socket",
            Self::Enter => "cannot enter the application's namespaces",
            Self::Privileges => "cannot give up rights",
            Self::Execute => "cannot execute the application",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

/// A step that failed, as it travels from the inner process to the outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

impl Failed {
    /// Bytes of the encoded form.
    pub(super) const LENGTH: usize = 5;

    pub(super) fn encode(self) -> [u8; Self::LENGTH] {
        let [a, b, c, d] = (self.errno as i32).to_le_bytes();
        [self.step as u8, a, b, c, d]
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [step, a, b, c, d] = *bytes else {
            return None;
        };
        Some(Self {
            step: *Step::ALL.get(usize::from(step))?,
            errno: Errno::from_raw(i32::from_le_bytes([a, b, c, d])),
        })
    }
}

/// Says at which step something failed.
pub(super) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failed>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failed> {
        self.map_err(|error| Failed {
            step,
            errno: errno(&error.into()),
        })
    }
}

/// The system's number of an error; those of the standard library's own making are input or output errors.
fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_arrives_as_it_left() {
        for step in Step::ALL {
            let failed = Failed {
                step,
                errno: Errno::EACCES,
            };

            assert_eq!(Failed::decode(&failed.encode()), Some(failed));
        }
    }

    #[test]
    fn what_is_no_failure_is_not_taken_for_one() {
        assert_eq!(Failed::decode(b""), None);
        assert_eq!(Failed::decode(&[200, 0, 0, 0, 0]), None);
    }
}
