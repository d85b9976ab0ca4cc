//! How names are resolved in a confinement.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use sinfonia_core::tunnel::HostName;

/// Dots that a name needs to be looked up as it is before the search domains are tried; that of Pods in a cluster.
const NDOTS: u8 = 5;

/// What is asked for names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolver {
    /// The name servers, in order.
    pub servers: Vec<IpAddr>,
    /// What is tried behind short names, in order.
    pub search: Vec<HostName>,
}

impl Resolver {
    /// The text of `resolv.conf`.
    fn resolv_conf(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            // Writing to a string never fails.
            let _ = writeln!(text, "nameserver {server}");
        }
        let search: Vec<&str> = self.search.iter().map(HostName::as_str).collect();
        if !search.is_empty() {
            let _ = writeln!(text, "search {}", search.join(" "));
        }
        let _ = writeln!(text, "options ndots:{NDOTS}");
        text
    }
}

/// The `resolv.conf` of a confinement, from outside.
#[derive(Debug)]
pub(super) struct ResolverFile(File);

impl ResolverFile {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Replaces what the file says; libc reads it again with the next look-up.
    pub(super) fn write(&self, resolver: &Resolver) -> io::Result<()> {
        let text = resolver.resolv_conf();
        let length = text.len() as u64;
        // What is left of a longer text becomes blank lines before it is cut off, so that no reader ever sees half a line.
        let old = usize::try_from(self.0.metadata()?.len()).unwrap_or(usize::MAX);
        let padded =
            text + &"\n".repeat(old.saturating_sub(usize::try_from(length).unwrap_or(old)));
        self.0.write_all_at(padded.as_bytes(), 0)?;
        self.0.set_len(length)
    }
}

/// The text of an `nsswitch.conf` in which hosts alone are looked up in another way: in files and with DNS.
pub(super) fn nsswitch_conf(present: &str) -> String {
    let others = present
        .lines()
        .filter(|line| !line.trim_start().starts_with("hosts:"));
    others
        .chain(["hosts: files dns"])
        .fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn servers_come_first_then_the_search_domains_in_order() {
        assert_eq!(
            resolver(&["10.43.0.10", "fd00::a"], &["a.svc", "svc"]).resolv_conf(),
            "nameserver 10.43.0.10\nnameserver fd00::a\nsearch a.svc svc\noptions ndots:5\n"
        );
    }

    #[test]
    fn without_search_domains_there_is_no_such_line() {
        assert_eq!(
            resolver(&["10.43.0.10"], &[]).resolv_conf(),
            "nameserver 10.43.0.10\noptions ndots:5\n"
        );
    }

    #[rstest]
    #[case::to_a_shorter_one(&["10.43.0.10", "10.43.0.11"], &["10.44.0.1"])]
    #[case::to_a_longer_one(&["10.43.0.10"], &["10.44.0.10", "10.44.0.11"])]
    fn the_file_says_what_was_written_last(#[case] before: &[&str], #[case] after: &[&str]) {
        let path =
            std::env::temp_dir().join(format!("resolver-{}-{}", std::process::id(), before.len()));
        let file = ResolverFile(File::create(&path).unwrap());
        file.write(&resolver(before, &[])).unwrap();

        file.write(&resolver(after, &[])).unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, resolver(after, &[]).resolv_conf());
    }

    #[rstest]
    #[case::replaced(
        "passwd: files systemd\nhosts: files mdns4_minimal [NOTFOUND=return] resolve dns\n",
        "passwd: files systemd\nhosts: files dns\n"
    )]
    #[case::indented("  hosts: resolve\n# hosts: x\n", "# hosts: x\nhosts: files dns\n")]
    #[case::missing("", "hosts: files dns\n")]
    fn hosts_come_from_files_and_dns_alone(#[case] present: &str, #[case] expected: &str) {
        assert_eq!(nsswitch_conf(present), expected);
    }

    fn resolver(servers: &[&str], search: &[&str]) -> Resolver {
        Resolver {
            servers: servers
                .iter()
                .map(|server| server.parse().unwrap())
                .collect(),
            search: search.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }
}
