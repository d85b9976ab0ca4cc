//! A control plane of real programs, and what tests do to it and see of it.
//!
//! All tests share one control plane, except where they say otherwise, and use names of their own.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod control_plane {
    mod chart;
    mod charts;
    mod cluster;
    mod fault_proxy;
    mod gateway;
    mod helm;
    mod monitoring;
    mod peers;
    mod processes;
    mod prometheus;
    mod recipes;
    mod second;
}
