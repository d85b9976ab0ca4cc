//! Where the test bed keeps what outlives a run.

use std::env;
use std::path::PathBuf;

use etcetera::BaseStrategy;

/// Where the test bed keeps what outlives a run: `$XDG_CACHE_HOME/sinfonia-testbed`, or `~/.cache/sinfonia-testbed`.
pub fn cache_folder() -> PathBuf {
    let cache = etcetera::base_strategy::choose_native_strategy()
        .map_or_else(|_| env::temp_dir(), |strategy| strategy.cache_dir());
    cache.join("sinfonia-testbed")
}
