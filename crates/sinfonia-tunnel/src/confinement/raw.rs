//! System calls that no safe wrapper exists for. The only unsafe code of this crate is here.
#![expect(
    unsafe_code,
    reason = "ioctls of TUN devices, and descriptors that are known by number alone"
)]

use std::ffi::{c_int, c_uint};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use rustix::io::FdFlags;
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};

/// `TUNSETIFF` of `linux/if_tun.h`.
const SET_INTERFACE: Opcode = opcode::write::<c_int>(b'T', 202);
/// `TUNSETOFFLOAD` of `linux/if_tun.h`.
const SET_OFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);

/// Bytes of an interface's name, the zero at its end included (`IFNAMSIZ`).
const NAME_LENGTH: usize = 16;
/// Descriptors below this belong to the application: stdin, stdout and stderr.
const FIRST_OTHER: RawFd = 3;

/// `struct ifreq` as `TUNSETIFF` uses it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_LENGTH],
    flags: u16,
    /// The rest of the union, whose longest member is `struct ifmap` on 64-bit systems.
    _rest: [u8; 22],
}

/// Makes `tun`, a freshly opened `/dev/net/tun`, a device with this name in the network namespace of this process.
pub(super) fn make_tun(tun: impl AsFd, name: &str, flags: u16) -> io::Result<()> {
    let mut request = InterfaceRequest {
        name: [0; NAME_LENGTH],
        flags,
        _rest: [0; 22],
    };
    let end = name.len().min(NAME_LENGTH - 1);
    request.name[..end].copy_from_slice(&name.as_bytes()[..end]);
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, and the request is as long as the longest of them and outlives the call.
    unsafe { ioctl(tun, Updater::<SET_INTERFACE, _>::new(&mut request)) }?;
    Ok(())
}

/// Tells the kernel which packets it may hand over unfinished.
pub(super) fn set_offload(tun: impl AsFd, flags: usize) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory.
    unsafe { ioctl(tun, IntegerSetter::<SET_OFFLOAD>::new_usize(flags)) }?;
    Ok(())
}

/// Has the next exec close every descriptor but the first three, also those that came from whoever started us.
pub(super) fn close_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number: &RawFd| *number >= FIRST_OTHER) else {
            continue;
        };
        // SAFETY: the borrow ends with this turn. One thread runs, and it closes nothing meanwhile, so the number stays what it was listed as.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    Ok(())
}
