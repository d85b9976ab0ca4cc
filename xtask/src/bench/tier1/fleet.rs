//! Cloudlets that Tier 1 knows.

use std::fmt::Write;
use std::net::SocketAddr;

use uuid::Uuid;

/// With it any cloudlet may report.
pub(in crate::bench) const REPORT_TOKEN: &str = "bench";

/// Cloudlets spread over the globe, all of them played by one Tier 2.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Fleet {
    /// How many there are; they are told by numbers from 0.
    pub(in crate::bench) size: u32,
    /// Who plays them.
    pub(in crate::bench) tier2: SocketAddr,
}

impl Fleet {
    /// All of them, as a cloudlet file.
    pub(super) fn file(self) -> String {
        let mut text = String::new();
        for number in 0..self.size {
            let (latitude, longitude) = self.place(number);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "---\nname: cloudlet-{number}\nendpoint: {}\nlocation: [{latitude:.4}, {longitude:.4}]\nlocal_networks: [{}]\n\
                 resources: {{cpu_ratio: 0.1, mem_ratio: 0.5, gpu_ratio: 0.0, net_tx_rate: 11000, net_rx_rate: 1000}}",
                self.endpoint(number),
                network(number)
            );
        }
        text
    }

    /// What one of them reports.
    pub(in crate::bench) fn report(self, number: u32) -> String {
        let (latitude, longitude) = self.place(number);
        format!(
            r#"{{"uuid":"{}","endpoint":"{}","name":"cloudlet-{number}","locations":[[{latitude:.4},{longitude:.4}]],"local_networks":["{}"],"resources":{{"cpu_ratio":0.125,"mem_ratio":0.5,"gpu_ratio":0.25,"net_tx_rate":11000.5,"net_rx_rate":1000.25}}}}"#,
            Uuid::from_u128(u128::from(number) + 1),
            self.endpoint(number),
            network(number)
        )
    }

    fn endpoint(self, number: u32) -> String {
        format!("http://{}/cloudlet-{number}/api/v1/deploy", self.tier2)
    }

    /// Its place on a Fibonacci sphere, latitude and longitude in degrees.
    pub(super) fn place(self, number: u32) -> (f64, f64) {
        let golden_angle = 180.0 * (3.0 - 5.0_f64.sqrt());
        let height = 1.0 - 2.0 * (f64::from(number) + 0.5) / f64::from(self.size);
        let longitude = (golden_angle * f64::from(number)).rem_euclid(360.0) - 180.0;
        (height.asin().to_degrees(), longitude)
    }
}

/// A network of its own, for up to sixteen million of them.
fn network(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("2001:db8:{high:x}:{middle:02x}{low:02x}::/64")
}
