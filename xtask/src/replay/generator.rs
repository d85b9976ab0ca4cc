//! The example: a fleet in and around some cities, and an hour of devices that gather there, with a burst.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Seconds in which requests come.
const LENGTH_S: f64 = 3600.0;
/// Requests over the whole time.
const REQUESTS: usize = 1700;
/// Requests of the burst, when it begins, and its length in seconds.
const BURST_REQUESTS: usize = 300;
const BURST_START_S: f64 = 1800.0;
const BURST_LENGTH_S: f64 = 180.0;
/// Where the burst is: the place in [`CITIES`].
const BURST_CITY: usize = 1;
/// Standard deviation, in kilometres, of a device's distance north and east of its city's centre.
const SPREAD_KM: f64 = 15.0;
/// The share of devices that ask again, of those that are in the network of a city's first cloudlet, and of those that are anywhere.
const RETURNING: f64 = 0.1;
const ON_SITE: f64 = 0.05;
const ANYWHERE: f64 = 0.05;
/// Shortest and longest time that a deployment is held, in seconds; short ones are more frequent.
const SHORTEST_S: f64 = 60.0;
const LONGEST_S: f64 = 1200.0;
/// What a city's first cloudlet holds, and what the smaller ones around it may hold.
const CENTRE_CAPACITY: u32 = 24;
const EDGE_CAPACITIES: [u32; 4] = [4, 8, 12, 16];
/// Cloudlets around a city besides the one in its centre, and how far they are away, north or south and east or west, in kilometres.
const EDGES: usize = 4;
const EDGE_KM: f64 = 40.0;
/// Kilometres in a degree of latitude.
const DEGREE_KM: f64 = 111.2;

/// A city. Prices and carbon are invented; only their order is that of the real ones.
struct City {
    name: &'static str,
    latitude: f64,
    longitude: f64,
    /// How many of all devices are there, as a share of the sum.
    weight: f64,
    /// Dollars for an hour of a deployment.
    price: f64,
    /// Grams of CO₂ for a kilowatt hour.
    carbon: f64,
}

const CITIES: [City; 8] = [
    city("London", 51.507, -0.128, 9.0, 0.062, 210.0),
    city("Paris", 48.857, 2.352, 11.0, 0.055, 55.0),
    city("Madrid", 40.417, -3.704, 6.0, 0.041, 160.0),
    city("Lisbon", 38.722, -9.139, 3.0, 0.036, 140.0),
    city("Frankfurt", 50.111, 8.682, 4.0, 0.068, 370.0),
    city("Rome", 41.903, 12.496, 5.0, 0.052, 290.0),
    city("Warsaw", 52.230, 21.012, 4.0, 0.032, 680.0),
    city("Stockholm", 59.329, 18.069, 3.0, 0.048, 25.0),
];

const fn city(
    name: &'static str,
    latitude: f64,
    longitude: f64,
    weight: f64,
    price: f64,
    carbon: f64,
) -> City {
    City {
        name,
        latitude,
        longitude,
        weight,
        price,
        carbon,
    }
}

/// The example's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Example {
    /// A cloudlet file.
    pub(crate) fleet: String,
    /// A trace in CSV.
    pub(crate) trace: String,
}

/// Makes the example that belongs to a seed.
pub(crate) fn example(seed: u64) -> Example {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    Example {
        fleet: format!(
            "# Made by `cargo xtask replay generate`, seed {seed}.\n{}",
            fleet(&mut dice)
        ),
        trace: trace(&mut dice),
    }
}

/// Chance. ChaCha gives the same numbers for a seed everywhere and for ever, which many generators do not promise.
struct Dice(ChaCha8Rng);

impl Dice {
    /// A number from 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is at least 0 and below the count"
    )]
    fn place_below(&mut self, count: usize) -> usize {
        (count as f64 * self.unit()) as usize
    }

    /// Nearly a normally distributed number with mean 0 and deviation 1: the sum of 12 uniform ones, which needs no logarithm.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn city(&mut self) -> usize {
        let weights: f64 = CITIES.iter().map(|city| city.weight).sum();
        let mut rest = weights * self.unit();
        let found = CITIES.iter().position(|city| {
            rest -= city.weight;
            rest < 0.0
        });
        found.unwrap_or(0)
    }
}

fn fleet(dice: &mut Dice) -> String {
    let mut documents = Vec::new();
    for (place, city) in CITIES.iter().enumerate() {
        let network = format!("local_networks: [{}]\n", local_network(place));
        let centre = (city.latitude, city.longitude);
        documents.push(cloudlet(dice, city, 0, centre, CENTRE_CAPACITY) + &network);
        for number in 1..=EDGES {
            let (north, east) = (
                dice.between(-EDGE_KM, EDGE_KM),
                dice.between(-EDGE_KM, EDGE_KM),
            );
            let capacity = EDGE_CAPACITIES[dice.place_below(EDGE_CAPACITIES.len())];
            documents.push(cloudlet(
                dice,
                city,
                number,
                moved(centre, north, east),
                capacity,
            ));
        }
    }
    documents.join("---\n")
}

/// A cloudlet as a YAML document. Small ones are dearer, and each has prices and carbon a little different from its neighbours'.
fn cloudlet(
    dice: &mut Dice,
    city: &City,
    number: usize,
    (latitude, longitude): (f64, f64),
    capacity: u32,
) -> String {
    let surcharge = 1.0 + 2.0 / f64::from(capacity);
    let price = city.price * surcharge * dice.between(0.9, 1.1);
    let carbon = city.carbon * dice.between(0.9, 1.1);
    let (name, host) = (city.name, city.name.to_lowercase());
    format!(
        "name: {name} {number}\n\
         endpoint: https://{host}-{number}.example/api/v1/deploy\n\
         location: [{latitude:.3}, {longitude:.3}]\n\
         labels: {{region: {host}}}\n\
         resources: {{capacity: {capacity}, price: {price:.3}, carbon: {carbon:.0}}}\n"
    )
}

/// Of the addresses that are there for measurements (RFC 2544), so that they are nobody's. A city has 16 times as many as a third byte tells.
fn local_network(city: usize) -> String {
    format!("198.18.{}.0/20", 16 * city)
}

/// A device that may ask again.
#[derive(Debug, Clone)]
struct Device {
    address: String,
    latitude: f64,
    longitude: f64,
}

fn trace(dice: &mut Dice) -> String {
    let mut arrivals: Vec<(f64, Option<usize>)> = Vec::new();
    arrivals.extend((0..REQUESTS).map(|_| (dice.between(0.0, LENGTH_S), None)));
    let burst = BURST_START_S..BURST_START_S + BURST_LENGTH_S;
    arrivals.extend(
        (0..BURST_REQUESTS).map(|_| (dice.between(burst.start, burst.end), Some(BURST_CITY))),
    );
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));

    let mut devices: Vec<Device> = Vec::new();
    let mut text = "time,client,latitude,longitude,duration\n".to_owned();
    for (time_s, city) in arrivals {
        let device = match city {
            None if !devices.is_empty() && dice.unit() < RETURNING => {
                devices[dice.place_below(devices.len())].clone()
            }
            _ => {
                let device = new_device(dice, city, devices.len());
                devices.push(device.clone());
                device
            }
        };
        let skew = dice.unit();
        let duration_s = SHORTEST_S + (LONGEST_S - SHORTEST_S) * skew * skew;
        let Device {
            address,
            latitude,
            longitude,
        } = device;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{time_s:.1},{address},{latitude:.3},{longitude:.3},{duration_s:.0}"
        );
    }
    text
}

/// A device in the city, or in one of the cities, or anywhere between them.
fn new_device(dice: &mut Dice, city: Option<usize>, number: usize) -> Device {
    let chance = dice.unit();
    let place = city.unwrap_or_else(|| dice.city());
    let centre = (CITIES[place].latitude, CITIES[place].longitude);
    let (latitude, longitude) = if city.is_none() && chance < ANYWHERE {
        (dice.between(37.0, 60.0), dice.between(-9.0, 22.0))
    } else {
        let (north, east) = (SPREAD_KM * dice.normal(), SPREAD_KM * dice.normal());
        moved(centre, north, east)
    };
    let (third, last) = (number / 254, number % 254 + 1);
    let address = if chance > 1.0 - ON_SITE {
        format!("198.18.{}.{last}", 16 * place + third)
    } else {
        format!("198.19.{third}.{last}")
    };
    Device {
        address,
        latitude,
        longitude,
    }
}

/// The place so many kilometres north and east of another.
fn moved((latitude, longitude): (f64, f64), north_km: f64, east_km: f64) -> (f64, f64) {
    let degree_km = DEGREE_KM * latitude.to_radians().cos();
    (
        latitude + north_km / DEGREE_KM,
        longitude + east_km / degree_km,
    )
}
