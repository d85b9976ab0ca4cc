//! What the application sees of the file system where names are resolved.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};

use super::failure::{At as _, Failed, Step};
use super::resolver;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const NSSWITCH_CONF: &str = "/etc/nsswitch.conf";

/// Folders of services that resolve names for others over a unix socket, which no network namespace closes.
const NAME_SERVICES: [&str; 8] = [
    "/run/nscd",
    "/var/run/nscd",
    "/run/systemd/resolve",
    "/run/systemd/resolve.hook",
    "/run/dbus",
    "/var/run/dbus",
    "/run/avahi-daemon",
    "/var/run/avahi-daemon",
];

/// Where our files are made. It is covered only for this long, and only for this process.
const SCRATCH: &str = "/dev";

/// What none of our mounts needs.
const INERT: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Arranges the mounts of this process, which is in a mount namespace of its own. Returns the resolver's file, empty: the application
/// can only read it, and whoever has the descriptor can write it.
pub(super) fn arrange() -> Result<OwnedFd, Failed> {
    let everything = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", everything).at(Step::PrivateMounts)?;
    // Before the masks, because the link may lead into one.
    let resolv_conf = fs::canonicalize(RESOLV_CONF).ok();
    mask_name_services(resolv_conf.as_deref()).at(Step::Masks)?;
    let scratch = Scratch::mount().at(Step::Resolver)?;
    scratch.replace_nsswitch().at(Step::Masks)?;
    scratch
        .replace_resolv_conf(resolv_conf.as_deref())
        .at(Step::Resolver)
}

/// Covers the folders with empty ones, in which at most `kept` exists.
fn mask_name_services(kept: Option<&Path>) -> io::Result<()> {
    // Most of them are there under two names.
    let mut folders: Vec<PathBuf> = NAME_SERVICES
        .iter()
        .filter_map(|folder| fs::canonicalize(folder).ok())
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| mask(folder, kept))
}

fn mask(folder: &Path, kept: Option<&Path>) -> io::Result<()> {
    mount_tmpfs(folder)?;
    if let Some(kept) = kept.filter(|kept| kept.starts_with(folder)) {
        kept.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(kept)?;
    }
    make_read_only(folder)
}

fn mount_tmpfs(folder: &Path) -> io::Result<()> {
    mount("tmpfs", folder, "tmpfs", INERT, c"mode=0755,size=64k")?;
    Ok(())
}

fn make_read_only(mounted: &Path) -> io::Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | INERT;
    mount_remount(mounted, flags, "")?;
    Ok(())
}

fn bind_read_only(source: &Path, target: &Path) -> io::Result<()> {
    mount_bind(source, target)?;
    make_read_only(target)
}

/// A folder in memory, which vanishes when this goes while what is bound from it stays.
struct Scratch;

impl Scratch {
    fn mount() -> io::Result<Self> {
        mount_tmpfs(Path::new(SCRATCH))?;
        Ok(Self)
    }

    /// Has libc look names up in files and with DNS alone.
    fn replace_nsswitch(&self) -> io::Result<()> {
        let Ok(target) = fs::canonicalize(NSSWITCH_CONF) else {
            // Without the file, libc's own choice is as good: files and DNS.
            return Ok(());
        };
        let text = resolver::nsswitch_conf(&String::from_utf8_lossy(&fs::read(&target)?));
        let source = self.path("nsswitch.conf");
        fs::write(&source, text)?;
        bind_read_only(&source, &target)
    }

    fn replace_resolv_conf(&self, target: Option<&Path>) -> io::Result<OwnedFd> {
        match target {
            Some(target) => {
                let source = self.path("resolv.conf");
                let file = create(&source)?;
                bind_read_only(&source, target)?;
                Ok(file)
            }
            None => self.add_resolv_conf(),
        }
    }

    /// Nothing can be bound over a file that is missing, or over a link that leads nowhere, so that all of `/etc` gets a layer in which
    /// it is there.
    fn add_resolv_conf(&self) -> io::Result<OwnedFd> {
        let (upper, work) = (self.path("upper"), self.path("work"));
        fs::create_dir(&upper)?;
        fs::create_dir(&work)?;
        let file = create(&upper.join("resolv.conf"))?;
        let options = c"lowerdir=/etc,upperdir=/dev/upper,workdir=/dev/work,userxattr";
        mount(
            "overlay",
            "/etc",
            "overlay",
            MountFlags::RDONLY | INERT,
            options,
        )?;
        Ok(file)
    }

    #[expect(
        clippy::unused_self,
        reason = "there is such a path only while it is mounted"
    )]
    fn path(&self, name: &str) -> PathBuf {
        Path::new(SCRATCH).join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Opening the TUN device fails next if this does.
        let _ = unmount(SCRATCH, UnmountFlags::DETACH);
    }
}

fn create(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    Ok(file.into())
}
