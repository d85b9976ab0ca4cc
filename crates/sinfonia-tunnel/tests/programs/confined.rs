//! Runs an application in a confinement without a tunnel: what it sends over UDP comes back to it. For tests.

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::ffi::OsString;
    use std::fs::File;
    use std::io::{self, Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::process::ExitCode;
    use std::thread;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use rustix::net::{AddressFamily, SocketType, socket};
    use sinfonia_core::tunnel::Interface;
    use sinfonia_tunnel::confinement::{
        self, Application, Confinement, ConfinementError, Framing, Mtu, Namespaces, Network,
        Resolver, Signals, Tun,
    };

    /// The variable that tells an application when the program started that confined it.
    const STARTED: &str = "STARTED";
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn main() -> ExitCode {
        if let Some(code) = confinement::inner() {
            return code;
        }
        let mut arguments = env::args_os().skip(1);
        let command = arguments.next().unwrap_or_default();
        let arguments: Vec<OsString> = arguments.collect();
        match command.to_str() {
            Some("run") => told(run(&arguments)),
            Some("enter") => told(enter(&arguments)),
            Some("move") => told(move_on(&arguments)),
            Some("abandon") => told(abandon(&arguments)),
            Some("connect") => answered(connect(&text(&arguments, 0))),
            Some("ask") => answered(ask(&text(&arguments, 0), &text(&arguments, 1))),
            Some("ping") => answered(ping()),
            Some("age") => answered(age()),
            _ => ExitCode::FAILURE,
        }
    }

    /// `run PROGRAM [ARGUMENT]…`
    fn run(application: &[OsString]) -> Result<u8, ConfinementError> {
        let application = parse(application).variable(STARTED, clock().to_string());
        let signals = Signals::hold().map_err(ConfinementError::Start)?;
        let (mut confinement, tun, waiting) = Confinement::make(&application)?;
        confinement.configure(&network(&["10.5.17.4", "fd00::4"], "10.43.0.10"))?;
        echo(tun);
        let running = waiting.go()?;
        signals
            .pass_on_to(running.handle())
            .map_err(ConfinementError::Start)?;
        finish(running)
    }

    /// `enter PROCESS PROGRAM [ARGUMENT]…`
    fn enter(arguments: &[OsString]) -> Result<u8, ConfinementError> {
        let process = nix::unistd::Pid::from_raw(text(arguments, 0).parse().unwrap_or_default());
        let namespaces = Namespaces::of_process(process).map_err(ConfinementError::Start)?;
        let application = parse(arguments.get(1..).unwrap_or_default());
        finish(namespaces.start(&application)?.go()?)
    }

    /// `move PROGRAM [ARGUMENT]…` runs it in the same namespaces before and after these moved to another cloudlet.
    fn move_on(application: &[OsString]) -> Result<u8, ConfinementError> {
        let application = parse(application);
        let (mut confinement, _tun, first) = Confinement::make(&application)?;
        confinement.configure(&network(&["10.5.17.4", "fd00::4"], "10.43.0.10"))?;
        finish(first.go()?)?;
        confinement.configure(&network(&["10.6.1.9"], "10.44.0.1"))?;
        finish(confinement.namespaces().start(&application)?.go()?)
    }

    /// `abandon PROGRAM [ARGUMENT]…` confines it, and then does not want it any more. Fails if it stays.
    fn abandon(application: &[OsString]) -> Result<u8, ConfinementError> {
        let (_confinement, _tun, waiting) = Confinement::make(&parse(application))?;
        drop(waiting);
        for _ in 0..100 {
            if waitpid(None, Some(WaitPidFlag::WNOHANG)).is_err() {
                return Ok(0);
            }
            thread::sleep(PATIENCE / 100);
        }
        Ok(1)
    }

    fn finish(running: confinement::Running) -> Result<u8, ConfinementError> {
        let status = running.wait().map_err(ConfinementError::Gone)?;
        Ok(confinement::exit_code(status))
    }

    fn parse(application: &[OsString]) -> Application {
        let program = application.first().cloned().unwrap_or_default();
        Application::new(program)
            .arguments(application.get(1..).unwrap_or_default())
            .variable("GIVEN", "to the application")
            .without_variable("WITHHELD")
    }

    fn network(addresses: &[&str], server: &str) -> Network {
        let addresses: Vec<Interface> = addresses.iter().flat_map(|text| text.parse()).collect();
        Network {
            addresses,
            mtu: Mtu::default(),
            resolver: Resolver {
                servers: server.parse().into_iter().collect(),
                search: "svc.cluster.local".parse().into_iter().collect(),
            },
        }
    }

    /// Sends UDP over IPv4 back: addresses and ports change places, which no checksum minds. TCP would connect to itself.
    fn echo(tun: Tun) {
        let header = match tun.framing {
            Framing::Plain => 0,
            Framing::Offload => 10,
        };
        thread::spawn(move || -> io::Result<()> {
            let mut device = File::from(tun.descriptor);
            let mut packet = [0; 1 << 16];
            loop {
                wait_for(&device)?;
                let length = device.read(&mut packet)?;
                let frame = packet.get_mut(..length).unwrap_or_default();
                if let Some(packet) = frame.get_mut(header..).filter(|packet| packet.len() >= 28)
                    && (packet[0], packet[9]) == (0x45, 17)
                {
                    packet[12..20].rotate_left(4);
                    packet[20..24].rotate_left(2);
                    device.write_all(frame)?;
                }
            }
        });
    }

    fn wait_for(device: &impl AsFd) -> io::Result<()> {
        let mut device = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        poll(&mut device, PollTimeout::NONE)?;
        Ok(())
    }

    /// `connect ADDRESS:PORT`
    fn connect(address: &str) -> io::Result<String> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        TcpStream::connect_timeout(&address, PATIENCE)?;
        Ok("connected".to_owned())
    }

    /// `ask ADDRESS:PORT TEXT`
    fn ask(address: &str, text: &str) -> io::Result<String> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(address)?;
        socket.send(text.as_bytes())?;
        let mut answer = [0; 1024];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned())
    }

    /// Opens the socket that an unprivileged ping uses.
    fn ping() -> io::Result<String> {
        socket(
            AddressFamily::INET,
            SocketType::DGRAM,
            Some(rustix::net::ipproto::ICMP),
        )?;
        Ok("may ping".to_owned())
    }

    /// Prints how long ago, in microseconds, the program that confined this one started.
    fn age() -> io::Result<String> {
        let started = env::var(STARTED).ok().and_then(|text| text.parse().ok());
        let started: u128 = started.ok_or(io::ErrorKind::NotFound)?;
        Ok((clock() - started).to_string())
    }

    /// Microseconds of the day's clock.
    fn clock() -> u128 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default().as_micros()
    }

    fn text(arguments: &[OsString], index: usize) -> String {
        let text = arguments.get(index).cloned().unwrap_or_default();
        text.to_string_lossy().into_owned()
    }

    fn answered(answer: io::Result<String>) -> ExitCode {
        match answer {
            Ok(text) => {
                let _ = writeln!(io::stdout(), "{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                let _ = writeln!(io::stdout(), "{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn told(ended: Result<u8, ConfinementError>) -> ExitCode {
        match ended {
            Ok(code) => code.into(),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let _ = writeln!(
                    io::stderr(),
                    "error: {error}: {}",
                    cause.unwrap_or_default()
                );
                if let Some(hint) = error.hint() {
                    let _ = writeln!(io::stderr(), "hint: {hint}");
                }
                error.exit_code().into()
            }
        }
    }
}
