//! The sandbox's end of the tunnel, with devices that speak WireGuard to it over loopback.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use serde_json::Value;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_service::client::{self, ClientSettings};
use sinfonia_tunnel::endpoint::PeerConfig;
use sinfonia_tunnel::userspace::{Stack, StackConfig, TcpStream, Tunnel};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{HELLOWORLD, OTHER, settings, write_recipes};
use crate::running::Running;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time in which what is not to be reached does not answer.
const SILENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_device_gets_the_page_by_its_name() {
    let sandbox = sandbox(&[]);

    let device = Device::deploy(&sandbox, HELLOWORLD, 1).await;

    let page = device.page("helloworld").await;
    let own = format!("you are:    {}\n", device.address);
    assert!(page.contains(&own), "{page}");
    assert!(page.contains(&device.key.to_string()), "{page}");
    assert!(page.contains(&device.name), "{page}");
}

#[tokio::test]
async fn two_hundred_devices_at_once_each_get_their_own_page() {
    let sandbox = sandbox(&["--max-deployments-per-client=200", "--client-rate=0"]);

    let pages = (0..200).map(|number| {
        let sandbox = &sandbox;
        async move {
            let device = Device::deploy(sandbox, HELLOWORLD, number).await;
            let page = device.page("helloworld").await;
            let own = format!("you are:    {}\n", device.address);
            page.contains(&own) && page.contains(&device.key.to_string())
        }
    });

    assert_eq!(join_all(pages).await, [true; 200]);
}

#[tokio::test]
async fn a_recipe_leads_to_programs_of_this_machine() {
    let program = Echo::start().await;
    let sandbox = sandbox_that_forwards_to(program.address);
    let device = Device::deploy(&sandbox, OTHER, 1).await;
    let sent = vec![7; 100_000];

    let mut stream = device.connect("backend", 9000).await.unwrap();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();

    assert!(received == sent, "what came back differs");
    // Port 80 is not forwarded, so the page is there.
    assert!(device.page("backend").await.contains("sandbox"));
}

#[tokio::test]
async fn what_a_program_breaks_off_does_not_look_complete() {
    let program = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sandbox = sandbox_that_forwards_to(program.local_addr().unwrap());
    let device = Device::deploy(&sandbox, OTHER, 1).await;
    let mut stream = device.connect("backend", 9000).await.unwrap();
    let (mut accepted, _) = program.accept().await.unwrap();
    accepted.write_all(b"the first half").await.unwrap();
    let mut half = [0; 14];
    stream.read_exact(&mut half).await.unwrap();

    SockRef::from(&accepted)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(accepted);

    let ended = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_program_that_does_not_run_refuses() {
    let ended = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sandbox = sandbox_that_forwards_to(ended.local_addr().unwrap());
    drop(ended);
    let device = Device::deploy(&sandbox, OTHER, 1).await;

    let mut stream = device.connect("backend", 9000).await.unwrap();

    let ended = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn recipes_of_others_open_no_programs_of_this_machine() {
    let program = Echo::start().await;
    let repository = MockServer::start().await;
    let recipe = ResponseTemplate::new(200).set_body_string(recipe_with_forward(program.address));
    let file = Mock::given(path(format!("/{OTHER}.yaml")));
    file.respond_with(recipe).mount(&repository).await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&folder, &[]);
    settings.cluster.recipes = repository.uri().parse().unwrap();
    let sandbox = Running::run(folder, settings);

    let device = Device::deploy(&sandbox, OTHER, 1).await;

    let refused = device.connect("backend", 9000).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_device_reaches_neither_another_one_nor_the_host() {
    let sandbox = sandbox(&[]);
    let (one, other) = (
        Device::deploy(&sandbox, HELLOWORLD, 1).await,
        Device::deploy(&sandbox, HELLOWORLD, 2).await,
    );
    // Both tunnels are open, and somebody listens on the other device.
    one.page("helloworld").await;
    other.page("helloworld").await;
    let _listener = other.stack.listen(other.at(80)).unwrap();
    let host = sandbox.address;

    for address in [
        other.at(80),
        host,
        SocketAddr::new(one.gateway, host.port()),
    ] {
        let connected = timeout(SILENCE, one.stack.connect(address)).await;

        assert!(!matches!(connected, Ok(Ok(_))), "{address} was reached");
    }
}

#[tokio::test]
async fn names_of_other_deployments_and_of_the_internet_are_unknown() {
    let sandbox = sandbox(&[]);
    let (one, other) = (
        Device::deploy(&sandbox, HELLOWORLD, 1).await,
        Device::deploy(&sandbox, HELLOWORLD, 2).await,
    );
    let foreign = format!("helloworld.{}.svc.cluster.local.", other.name);

    for name in [foreign.as_str(), "www.example.org."] {
        let answer = one.ask(name).await;

        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
}

#[tokio::test]
async fn a_deleted_deployments_device_is_shut_out() {
    let sandbox = sandbox(&[]);
    let device = Device::deploy(&sandbox, HELLOWORLD, 1).await;
    let mut stream = device.connect("helloworld", 80).await.unwrap();

    device.delete(&sandbox).await;

    // Not even an end: nobody is there any more.
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(timeout(SILENCE, stream.read(&mut [0])).await.is_err());
    let connected = device.tunnel_anew().await;
    assert!(!connected, "a handshake was answered");
}

/// A device with its tunnel to a deployment.
struct Device {
    _tunnel: Tunnel,
    private_key: PrivateKey,
    key: PublicKey,
    stack: Stack,
    recipe: &'static str,
    /// The deployment's name.
    name: String,
    address: IpAddr,
    gateway: IpAddr,
    sandbox: PeerConfig,
}

impl Device {
    async fn deploy(sandbox: &Running, recipe: &'static str, number: u8) -> Self {
        let private_key = PrivateKey::from_entropy([number; 32]);
        let key = private_key.public_key();
        let client = client::build(&ClientSettings::new("tests")).unwrap();
        let url = format!("http://{}{}", sandbox.address, deployment(recipe, &key));
        let answer = client.post(url).send().await.unwrap();
        let deployment: Value = answer.json().await.unwrap();
        let deployment = &deployment[0];
        let config = &deployment["TunnelConfig"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let address = text(&config["address"][0]).parse().unwrap();
        let sandbox = PeerConfig {
            public_key: text(&config["publicKey"]).parse().unwrap(),
            preshared_key: None,
            endpoint: Some(text(&config["endpoint"]).parse().unwrap()),
            allowed_ips: vec![text(&config["allowedIPs"][0]).parse().unwrap()],
            persistent_keepalive: None,
        };
        let (tunnel, stack) = open(&private_key, address, &sandbox).await;
        Self {
            _tunnel: tunnel,
            private_key,
            key,
            stack,
            recipe,
            name: text(&deployment["DeploymentName"]),
            address,
            gateway: text(&config["dns"][0]).parse().unwrap(),
            sandbox,
        }
    }

    async fn delete(&self, sandbox: &Running) {
        let client = client::build(&ClientSettings::new("tests")).unwrap();
        let path = deployment(self.recipe, &self.key);
        let url = format!("http://{}{path}", sandbox.address);
        let answer = client.delete(url).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }

    /// Whether the sandbox shakes hands with this device from another socket.
    async fn tunnel_anew(&self) -> bool {
        let (tunnel, _) = open(&self.private_key, self.address, &self.sandbox).await;
        tunnel
            .connect(self.sandbox.public_key, SILENCE)
            .await
            .unwrap()
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Connects to a Service of the deployment.
    async fn connect(&self, service: &str, port: u16) -> std::io::Result<TcpStream> {
        let name = format!("{service}.{}.svc.cluster.local.", self.name);
        let answer = self.ask(&name).await;
        let address = answer.answers.iter().find_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        let address = SocketAddr::new(address.unwrap().into(), port);
        timeout(PATIENCE, self.stack.connect(address))
            .await
            .unwrap()
    }

    /// The page of a Service.
    async fn page(&self, service: &str) -> String {
        let mut stream = self.connect(service, 80).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        timeout(PATIENCE, reading).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        answer
    }

    /// Asks the deployment's DNS.
    async fn ask(&self, name: &str) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let port = self.stack.bind(self.at(0)).unwrap();
        let mut answer = [0; 1500];
        loop {
            port.send(
                &message.to_vec().unwrap(),
                SocketAddr::new(self.gateway, 53),
            )
            .unwrap();
            // Like any resolver: datagrams may be lost.
            let receiving = port.receive(&mut answer);
            if let Ok(received) = timeout(Duration::from_secs(5), receiving).await {
                let (length, _) = received.unwrap();
                return Message::from_vec(&answer[..length]).unwrap();
            }
        }
    }
}

async fn open(key: &PrivateKey, address: IpAddr, sandbox: &PeerConfig) -> (Tunnel, Stack) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tunnel = Tunnel::start(socket, key, 1420).unwrap();
    let config = StackConfig {
        addresses: vec![address.into()],
        stream_buffer: 64 * 1024,
        streams: 100,
    };
    let stack = tunnel.stack(&config).unwrap();
    tunnel.set_peer(sandbox.clone(), stack.clone()).unwrap();
    (tunnel, stack)
}

/// A program of this machine that sends everything back.
struct Echo {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn sandbox(options: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    Running::with(folder, options)
}

/// A sandbox whose second recipe forwards port 9000 to a program.
fn sandbox_that_forwards_to(program: SocketAddr) -> Running {
    let folder = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    let file = folder.path().join(format!("recipes/{OTHER}.yaml"));
    fs::write(file, recipe_with_forward(program)).unwrap();
    Running::with(folder, &[])
}

fn recipe_with_forward(program: SocketAddr) -> String {
    format!("chart: backend\nversion: 0.1.0\nsandbox: {{forward: {{9000: '{program}'}}}}\n")
}

fn deployment(recipe: &str, key: &PublicKey) -> String {
    format!("/api/v1/deploy/{recipe}/{}", key.url_safe())
}
