//! One run of a program, with bounded output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;

use futures_util::future::BoxFuture;
use sinfonia_service::process::spawn_bound_async;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

/// Most bytes of each output that are kept, its last ones: the error stands at the end.
const OUTPUT_BYTES: usize = 16 * 1024;

/// A program to run, with its whole environment.
pub(super) struct Invocation<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: &'a [(&'static str, OsString)],
    pub(super) stdin: Option<Input<'a>>,
}

/// What a program reads, an object of JSON, and what has to happen before it has more of that than the first byte: it is started meanwhile.
pub(super) struct Input<'a> {
    pub(super) text: String,
    pub(super) after: BoxFuture<'a, ()>,
}

/// What came of it.
pub(super) struct Finished {
    pub(super) succeeded: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Invocation<'_> {
    /// Runs it to its end. It is killed when the future is dropped, and when this process ends.
    pub(super) async fn run(self) -> io::Result<Finished> {
        #[cfg(feature = "fail-points")]
        let points = crate::fail_points::AroundHelm::of(&self.arguments);
        #[cfg(feature = "fail-points")]
        points.before();
        let mut command = Command::new(self.program);
        command
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(as_pair))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in our terminal is for us: we decide what becomes of a running installation.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawn_bound_async(command)?;
        #[cfg(feature = "fail-points")]
        points.begun();
        let write = feed(child.stdin.take(), self.stdin);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (written, stdout, stderr, status) =
            tokio::join!(write, tail(stdout), tail(stderr), child.wait());
        #[cfg(feature = "fail-points")]
        points.after();
        written?;
        Ok(Finished {
            succeeded: status?.success(),
            stdout: stdout?,
            stderr: stderr?,
        })
    }
}

fn as_pair<'a>((name, value): &'a (&'static str, OsString)) -> (&'static str, &'a OsStr) {
    (name, value)
}

async fn feed(stdin: Option<ChildStdin>, input: Option<Input<'_>>) -> io::Result<()> {
    let (Some(mut stdin), Some(input)) = (stdin, input) else {
        return Ok(());
    };
    // Where nobody goes on, the program has a part that makes no sense alone, not an empty text.
    let (part, rest) = input.text.as_bytes().split_at(input.text.len().min(1));
    let written = async {
        stdin.write_all(part).await?;
        input.after.await;
        stdin.write_all(rest).await
    };
    match written.await {
        // It ended without reading all of it, and says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Reads to the end and keeps the last bytes.
async fn tail(output: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut output) = output else {
        return Ok(String::new());
    };
    let mut kept = Vec::new();
    while output.read_buf(&mut kept).await? > 0 {
        if kept.len() > 2 * OUTPUT_BYTES {
            kept.drain(..kept.len() - OUTPUT_BYTES);
        }
    }
    kept.drain(..kept.len().saturating_sub(OUTPUT_BYTES));
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
