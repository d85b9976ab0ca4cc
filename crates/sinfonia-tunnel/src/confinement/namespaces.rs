//! The namespaces of an application.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Pid, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::failure::{At as _, Failed, Step};

/// Namespaces that hold an application. They last as long as a process is in them, or someone holds this.
#[derive(Debug)]
pub struct Namespaces {
    network: OwnedFd,
    mounts: OwnedFd,
    /// Missing where root had to do without.
    user: Option<OwnedFd>,
}

impl Namespaces {
    /// The namespaces that a confined application runs in, so that another command can enter them.
    ///
    /// # Errors
    /// The process is gone, or belongs to someone else.
    pub fn of_process(process: Pid) -> io::Result<Self> {
        Self::in_folder(Path::new(&format!("/proc/{process}/ns")))
    }

    /// Those of this process.
    pub(super) fn own(with_user: bool) -> io::Result<Self> {
        let folder = Path::new("/proc/self/ns");
        Ok(Self {
            network: File::open(folder.join("net"))?.into(),
            mounts: File::open(folder.join("mnt"))?.into(),
            user: with_user
                .then(|| File::open(folder.join("user")))
                .transpose()?
                .map(Into::into),
        })
    }

    fn in_folder(folder: &Path) -> io::Result<Self> {
        let user = File::open(folder.join("user"))?;
        // A process cannot enter the user namespace that it is in.
        let is_ours = user.metadata()?.ino() == fs::metadata("/proc/self/ns/user")?.ino();
        Ok(Self {
            network: File::open(folder.join("net"))?.into(),
            mounts: File::open(folder.join("mnt"))?.into(),
            user: (!is_ours).then(|| user.into()),
        })
    }

    /// Takes them from a message.
    pub(super) fn from_descriptors(
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> Option<Self> {
        Some(Self {
            network: descriptors.next()?,
            mounts: descriptors.next()?,
            user: descriptors.next(),
        })
    }

    /// Puts them into a message.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.network.as_fd(), self.mounts.as_fd()]
            .into_iter()
            .chain(self.user.as_ref().map(AsFd::as_fd))
    }

    /// Moves this process, which has one thread, into them.
    pub(super) fn enter(&self) -> io::Result<()> {
        // A descriptor of the folder would lead back out of the mounts; its path does not.
        let folder = std::env::current_dir()?;
        // First of all, because it gives the right to enter the others.
        if let Some(user) = &self.user {
            setns(user, CloneFlags::CLONE_NEWUSER)?;
        }
        setns(&self.network, CloneFlags::CLONE_NEWNET)?;
        setns(&self.mounts, CloneFlags::CLONE_NEWNS)?;
        std::env::set_current_dir(folder)
    }
}

/// Moves this process, which has one thread, into new namespaces.
///
/// Root gets a user namespace too: without one its application could simply return to the host's network. Where user namespaces are
/// switched off, root alone can do without; its application is then held by having lost its capabilities.
pub(super) fn make() -> Result<Namespaces, Failed> {
    let (user, group) = (geteuid(), getegid());
    let inner = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let with_user = match unshare(CloneFlags::CLONE_NEWUSER | inner) {
        Ok(()) => true,
        Err(_) if may_do_without_user_namespace() => {
            unshare(inner).at(Step::Unshare)?;
            false
        }
        refused => refused.map(|()| true).at(Step::Unshare)?,
    };
    if with_user {
        map(user.as_raw(), group.as_raw()).at(Step::MapIds)?;
    }
    let_ping(group.as_raw());
    Namespaces::own(with_user).at(Step::Unshare)
}

fn may_do_without_user_namespace() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Keeps both ids as they are, so that the application takes itself and its files for what they are outside.
fn map(user: u32, group: u32) -> io::Result<()> {
    // Whoever has no rights may map groups only after this.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Lets the application ping without the rights that the program's file would otherwise have to give. Where the system's settings
/// cannot be written, ping does not work.
fn let_ping(group: u32) {
    let _ = fs::write(
        "/proc/sys/net/ipv4/ping_group_range",
        format!("{group} {group}"),
    );
}
