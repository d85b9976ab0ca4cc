//! The host's limits of socket buffers, lowered for a while.

use std::fs;

use anyhow::Context;

/// What an ordinary user gets where nobody has raised it: Linux' own default.
const STOCK: &str = "212992";
const LIMITS: [&str; 2] = ["/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"];

/// Lowered limits; they are what they were before when this is dropped.
pub(super) struct SmallBuffers {
    before: Vec<(&'static str, String)>,
}

impl SmallBuffers {
    /// Lowers the limits to those of a stock kernel.
    ///
    /// # Errors
    /// They cannot be written, as in some containers.
    pub(super) fn set() -> anyhow::Result<Self> {
        let mut lowered = Self { before: Vec::new() };
        for limit in LIMITS {
            let before =
                fs::read_to_string(limit).with_context(|| format!("cannot read {limit}"))?;
            fs::write(limit, STOCK).with_context(|| format!("cannot write {limit}"))?;
            lowered.before.push((limit, before));
        }
        Ok(lowered)
    }
}

impl Drop for SmallBuffers {
    fn drop(&mut self) {
        for (limit, value) in &self.before {
            if let Err(error) = fs::write(limit, value) {
                anstream::eprintln!(
                    "warning: {limit} was {} and stays at {STOCK}: {error}",
                    value.trim_end()
                );
            }
        }
    }
}
