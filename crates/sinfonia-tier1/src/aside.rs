//! Work that takes long, beside requests.

use sinfonia_service::problem::Problem;

/// Does what may take seconds where there are very many cloudlets, on a thread of its own: other requests go on meanwhile.
///
/// # Errors
/// 500: it failed, or the program ends.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::internal("the answer could not be worked out"))
}
