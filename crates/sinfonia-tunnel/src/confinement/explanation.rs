//! Why a system refuses namespaces, and what to do about it.

use std::fs;
use std::path::Path;

use nix::errno::Errno;

use super::failure::Step;

const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_userns_clone";
const MAXIMUM: &str = "/proc/sys/user/max_user_namespaces";

/// What needs none of all this.
const WAY_AROUND: &str = "Or run with --forward, which needs no namespaces.";

/// What the system says about user namespaces: the content of the files that forbid them, where they are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    /// `kernel.apparmor_restrict_unprivileged_userns`: 1 is the default of Ubuntu 24.04.
    pub(super) apparmor: Option<String>,
    /// `kernel.unprivileged_userns_clone`: 0 on Debian 10 and earlier, and on hardened kernels.
    pub(super) unprivileged: Option<String>,
    /// `user.max_user_namespaces`: 0 on systems like RHEL 7.
    pub(super) maximum: Option<String>,
}

impl Settings {
    pub(super) fn read() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        Self {
            apparmor: read(APPARMOR),
            unprivileged: read(UNPRIVILEGED),
            maximum: read(MAXIMUM),
        }
    }
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Maximum,
    Unprivileged,
    AppArmor,
    /// A filter of system calls, or a chroot: neither leaves a trace.
    Container,
    NoNamespaces,
    /// Neither a file to cover nor a file system that would add one.
    NoResolvConf,
    NoTun,
    TunClosed,
}

/// Tells what forbids a step and how to allow it, if that is what `errno` is about. `program` is our own executable.
pub(super) fn explain(
    step: Step,
    errno: Errno,
    settings: &Settings,
    program: &Path,
) -> Option<String> {
    let remedy = remedy(cause(step, errno, settings)?, program);
    Some(format!("{remedy}\n{WAY_AROUND}"))
}

fn cause(step: Step, errno: Errno, settings: &Settings) -> Option<Cause> {
    match (step, errno) {
        (Step::Enter | Step::Privileges | Step::Execute, _) => None,
        (Step::OpenTun, Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => Some(Cause::NoTun),
        (Step::OpenTun, Errno::EACCES | Errno::EPERM) => Some(Cause::TunClosed),
        (Step::Unshare, Errno::EINVAL | Errno::ENOSYS) => Some(Cause::NoNamespaces),
        (Step::Resolver, Errno::ENODEV | Errno::EINVAL) => Some(Cause::NoResolvConf),
        (_, Errno::EACCES | Errno::EPERM | Errno::ENOSPC | Errno::EUSERS) => {
            Some(forbidden_by(settings))
        }
        _ => None,
    }
}

fn forbidden_by(settings: &Settings) -> Cause {
    let is =
        |setting: &Option<String>, value| setting.as_ref().is_some_and(|text| text.trim() == value);
    if is(&settings.maximum, "0") {
        Cause::Maximum
    } else if is(&settings.unprivileged, "0") {
        Cause::Unprivileged
    } else if is(&settings.apparmor, "1") {
        Cause::AppArmor
    } else {
        Cause::Container
    }
}

fn remedy(cause: Cause, program: &Path) -> String {
    match cause {
        Cause::Maximum => format!(
            "{MAXIMUM} is 0: there are no user namespaces. Allow them with `sysctl user.max_user_namespaces=15000` as root."
        ),
        Cause::Unprivileged => format!(
            "{UNPRIVILEGED} is 0: only root may make user namespaces. Allow them with `sysctl kernel.unprivileged_userns_clone=1` as root."
        ),
        Cause::AppArmor => format!(
            "{APPARMOR} is 1: AppArmor allows user namespaces only to programs that have a profile. Write this one to \
             /etc/apparmor.d/sinfonia-tier3 and load it with `apparmor_parser -r /etc/apparmor.d/sinfonia-tier3`, both as root:\n{}",
            profile(program)
        ),
        Cause::Container => "No setting of the system forbids it, so a container's filter of system calls (Docker's default one does) \
             or a chroot is in the way."
            .to_owned(),
        Cause::NoNamespaces => {
            "This kernel was built without user, network or mount namespaces.".to_owned()
        }
        Cause::NoResolvConf => "This system has no /etc/resolv.conf, or a link that leads nowhere, and no overlay file system to add one. \
             Create the file as root; it may be empty."
            .to_owned(),
        Cause::NoTun => "Load the kernel's module with `modprobe tun` as root; a container needs `--device /dev/net/tun`.".to_owned(),
        Cause::TunClosed => "The device is open to everyone on most systems: `chmod 0666 /dev/net/tun` as root does that; a container \
             needs `--device /dev/net/tun`."
            .to_owned(),
    }
}

fn profile(program: &Path) -> String {
    format!(
        "abi <abi/4.0>,\ninclude <tunables/global>\nprofile sinfonia-tier3 \"{}\" flags=(unconfined) {{\n  userns,\n}}",
        program.display()
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::apparmor_lets_unshare_pass_and_denies_the_map(
        Step::MapIds,
        Errno::EACCES,
        settings("1", "1", "95000"),
        Cause::AppArmor
    )]
    #[case::apparmor_at_the_mounts(
        Step::PrivateMounts,
        Errno::EACCES,
        settings("1", "1", "95000"),
        Cause::AppArmor
    )]
    #[case::apparmor_at_the_device(
        Step::MakeTun,
        Errno::EPERM,
        settings("1", "1", "95000"),
        Cause::AppArmor
    )]
    #[case::debian(
        Step::Unshare,
        Errno::EPERM,
        settings("0", "0", "95000"),
        Cause::Unprivileged
    )]
    #[case::red_hat(
        Step::Unshare,
        Errno::ENOSPC,
        settings("0", "1", "0\n"),
        Cause::Maximum
    )]
    #[case::none_counts_before_apparmor(
        Step::Unshare,
        Errno::ENOSPC,
        settings("1", "1", "0"),
        Cause::Maximum
    )]
    #[case::docker(
        Step::Unshare,
        Errno::EPERM,
        settings("0", "1", "95000"),
        Cause::Container
    )]
    #[case::without_any_of_the_files(
        Step::Unshare,
        Errno::EPERM,
        Settings::default(),
        Cause::Container
    )]
    #[case::old_kernel(Step::Unshare, Errno::EINVAL, Settings::default(), Cause::NoNamespaces)]
    #[case::nothing_to_cover(
        Step::Resolver,
        Errno::ENODEV,
        Settings::default(),
        Cause::NoResolvConf
    )]
    #[case::no_module(Step::OpenTun, Errno::ENODEV, Settings::default(), Cause::NoTun)]
    #[case::no_node(
        Step::OpenTun,
        Errno::ENOENT,
        settings("1", "1", "95000"),
        Cause::NoTun
    )]
    #[case::closed_node(
        Step::OpenTun,
        Errno::EACCES,
        settings("1", "1", "95000"),
        Cause::TunClosed
    )]
    fn the_cause_is_found(
        #[case] step: Step,
        #[case] errno: Errno,
        #[case] settings: Settings,
        #[case] expected: Cause,
    ) {
        assert_eq!(cause(step, errno, &settings), Some(expected));
    }

    #[rstest]
    #[case::not_about_rights(Step::Resolver, Errno::EIO)]
    #[case::the_applications_own_mode(Step::Execute, Errno::EACCES)]
    #[case::someone_elses_process(Step::Enter, Errno::EPERM)]
    fn other_failures_are_not_explained_away(#[case] step: Step, #[case] errno: Errno) {
        assert_eq!(
            explain(step, errno, &settings("1", "0", "0"), Path::new("/x")),
            None
        );
    }

    #[test]
    fn the_profile_is_for_our_own_path() {
        let told = explain(
            Step::MapIds,
            Errno::EPERM,
            &settings("1", "1", "95000"),
            Path::new("/opt/my programs/sinfonia-tier3"),
        );

        assert_eq!(
            told.as_deref(),
            Some(
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns is 1: AppArmor allows user namespaces only to programs that \
                 have a profile. Write this one to /etc/apparmor.d/sinfonia-tier3 and load it with `apparmor_parser -r \
                 /etc/apparmor.d/sinfonia-tier3`, both as root:\n\
                 abi <abi/4.0>,\n\
                 include <tunables/global>\n\
                 profile sinfonia-tier3 \"/opt/my programs/sinfonia-tier3\" flags=(unconfined) {\n  \
                 userns,\n\
                 }\n\
                 Or run with --forward, which needs no namespaces."
            )
        );
    }

    #[rstest]
    #[case(Cause::Maximum, "sysctl user.max_user_namespaces=15000")]
    #[case(Cause::Unprivileged, "sysctl kernel.unprivileged_userns_clone=1")]
    #[case(Cause::Container, "filter of system calls")]
    #[case(Cause::NoResolvConf, "Create the file")]
    #[case(Cause::NoTun, "modprobe tun")]
    #[case(Cause::TunClosed, "chmod 0666 /dev/net/tun")]
    fn each_cause_has_its_remedy(#[case] cause: Cause, #[case] expected: &str) {
        let remedy = remedy(cause, Path::new("/usr/bin/sinfonia-tier3"));

        assert!(remedy.contains(expected), "{remedy}");
    }

    fn settings(apparmor: &str, unprivileged: &str, maximum: &str) -> Settings {
        Settings {
            apparmor: Some(apparmor.to_owned()),
            unprivileged: Some(unprivileged.to_owned()),
            maximum: Some(maximum.to_owned()),
        }
    }
}
