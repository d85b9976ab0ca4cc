//! How names are resolved in a confinement.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use sinfonia_core::resolver::Resolver;

/// The `resolv.conf` of a confinement, from outside.
#[derive(Debug)]
pub(super) struct ResolverFile(File);

impl ResolverFile {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Replaces what the file says; libc reads it again with the next look-up.
    pub(super) fn write(&self, resolver: &Resolver) -> io::Result<()> {
        let text = resolver.to_string();
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
        assert_eq!(text, resolver(after, &[]).to_string());
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
