//! The three programs over loopback, as their users and each other meet them.
//!
//! Each test starts programs of its own on free ports, with a folder of its own for their files and logs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets an error has failed"
)]

mod end_to_end {
    mod support;

    mod admin;
    mod client_rules;
    mod command_line;
    mod dashboard;
    mod fakes;
    mod fall_over;
    mod kubernetes;
    mod lease;
    mod local_network;
    mod logs;
    mod misbehaving;
    mod moving;
    mod on_a_node;
    mod other_clients;
    mod paths;
    mod probing;
    mod quickstart;
    mod recipes;
    mod reload;
    mod reports;
    mod scraping;
    mod shutdown;
    mod tier3;
    mod tokens;
    mod traces;
    mod zeroconf;
}
