//! The one place that calls the kernel without a safe wrapper.
#![expect(
    unsafe_code,
    reason = "nix has no safe wrapper for the ioctls of a TUN device"
)]

use std::os::fd::{AsFd, AsRawFd};

use nix::libc::c_ulong;

/// The device may hand over packets without a checksum, and TCP segments far beyond the MTU.
const TUN_F_CSUM: c_ulong = 1;
const TUN_F_TSO4: c_ulong = 2;
const TUN_F_TSO6: c_ulong = 4;

nix::ioctl_write_int!(tun_set_offload, b'T', 208);

/// Asks a TUN device with virtio headers for packets that are not yet split and have no checksum.
pub(super) fn enable_offload(tun: &impl AsFd) -> nix::Result<()> {
    let flags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    // SAFETY: TUNSETOFFLOAD takes its flags by value, so that no memory is shared; the descriptor is borrowed for the call.
    unsafe { tun_set_offload(tun.as_fd().as_raw_fd(), flags) }.map(drop)
}

#[cfg(test)]
pub(super) mod testing {
    use std::fs::File;
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::libc;

    nix::ioctl_write_ptr_bad!(
        tun_set_interface,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );

    /// Makes a TUN device in the namespace of the thread.
    pub(in crate::driver) fn open_tun(name: &str, virtio_headers: bool) -> OwnedFd {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .unwrap();
        let headers = if virtio_headers {
            libc::IFF_VNET_HDR
        } else {
            0
        };
        // SAFETY: zeros are a valid `ifreq`, which is made of integers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | headers) as i16;
        // SAFETY: the kernel reads and writes the request during the call alone.
        unsafe { tun_set_interface(file.as_raw_fd(), &request) }.unwrap();
        file.into()
    }
}
