//! Signals to this very process, hence alone in this file.

use std::process::Command;

use sinfonia_service::shutdown;

#[tokio::test]
async fn sigterm_begins_the_shutdown() {
    let token = shutdown::on_signals().unwrap();
    let before = token.is_cancelled();

    let status = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", std::process::id())])
        .status()
        .unwrap();
    token.cancelled().await;

    assert!(status.success());
    assert!(!before);
}
