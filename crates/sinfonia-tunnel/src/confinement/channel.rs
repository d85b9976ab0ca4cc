//! What the outer and the inner process tell each other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::failure::Failed;
use super::tun::Framing;

/// The most descriptors in one message.
const MAX_DESCRIPTORS: usize = 6;
/// Room for the longest message.
const MAX_BYTES: usize = 1 + Failed::LENGTH;

const CREATE: u8 = b'c';
const ENTER: u8 = b'e';
const GO: u8 = b'g';
const CREATED: u8 = b'C';
const ENTERED: u8 = b'E';
const FAILED: u8 = b'F';

/// A message, with the descriptors that it carries.
#[derive(Debug)]
pub(super) enum Message {
    /// To the inner process: make namespaces. Carries the application's stdin.
    Create(Vec<OwnedFd>),
    /// To the inner process: enter namespaces. Carries the application's stdin and the namespaces.
    Enter(Vec<OwnedFd>),
    /// To the inner process: become the application.
    Go,
    /// From the inner process: the namespaces are there. Carries the TUN device, the netlink socket, the resolver's file and the
    /// namespaces.
    Created(Framing, Vec<OwnedFd>),
    /// From the inner process: the namespaces are entered.
    Entered,
    /// From the inner process: it cannot.
    Failed(Failed),
    /// The other side is gone. To the outer process this tells that the application runs, because its exec closed the channel.
    Closed,
}

/// One end of the conversation.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Makes both ends; neither survives an exec.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(ours), theirs))
    }

    pub(super) const fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    pub(super) fn create(&self, stdin: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&[CREATE], &[stdin])
    }

    pub(super) fn enter(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send(&[ENTER], descriptors)
    }

    pub(super) fn go(&self) -> io::Result<()> {
        self.send(&[GO], &[])
    }

    pub(super) fn created(
        &self,
        framing: Framing,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send(&[CREATED, framing as u8], descriptors)
    }

    pub(super) fn entered(&self) -> io::Result<()> {
        self.send(&[ENTERED], &[])
    }

    pub(super) fn failed(&self, failed: Failed) -> io::Result<()> {
        let mut message = vec![FAILED];
        message.extend(failed.encode());
        self.send(&message, &[])
    }

    /// Waits for the next message.
    pub(super) fn receive(&self) -> io::Result<Message> {
        let mut bytes = [0; MAX_BYTES];
        let (length, descriptors) = self.receive_into(&mut bytes)?;
        let message = match bytes.get(..length).unwrap_or_default() {
            [] => Some(Message::Closed),
            [CREATE] => Some(Message::Create(descriptors)),
            [ENTER] => Some(Message::Enter(descriptors)),
            [GO] => Some(Message::Go),
            [ENTERED] => Some(Message::Entered),
            [CREATED, framing] => {
                Framing::decode(*framing).map(|framing| Message::Created(framing, descriptors))
            }
            [FAILED, failed @ ..] => Failed::decode(failed).map(Message::Failed),
            _ => None,
        };
        message.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bytes = [IoSlice::new(bytes)];
        rustix::net::sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive_into(&self, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [IoSliceMut::new(bytes)];
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        Ok((received.bytes, descriptors))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn descriptors_arrive_with_what_they_are_for() {
        let (ours, theirs) = Channel::pair().unwrap();
        let file = File::open("/proc/self/comm").unwrap();

        Channel::new(theirs)
            .created(Framing::Offload, &[file.as_fd(), file.as_fd()])
            .unwrap();

        let Message::Created(Framing::Offload, descriptors) = ours.receive().unwrap() else {
            unreachable!("something else was sent");
        };
        assert_eq!(descriptors.len(), 2);
        let mut name = String::new();
        let mut files = descriptors.into_iter().map(File::from);
        files.next().unwrap().read_to_string(&mut name).unwrap();
        assert!(!name.is_empty());
    }

    #[test]
    fn an_end_that_is_gone_is_told() {
        let (ours, theirs) = Channel::pair().unwrap();

        drop(theirs);

        assert!(matches!(ours.receive().unwrap(), Message::Closed));
        assert_eq!(ours.go().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_nobody_says_is_refused() {
        let (ours, theirs) = Channel::pair().unwrap();

        Channel::new(theirs).send(b"?", &[]).unwrap();

        assert_eq!(
            ours.receive().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
