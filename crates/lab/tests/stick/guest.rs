//! The guest's side of the redirection protocol, as QEMU plays it, written independently of the
//! library's codec: with all our capabilities agreed on, headers have 16 bytes and bulk headers 10.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Every wait of the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Guest {
    stream: UnixStream,
    next_id: u64,
    early: VecDeque<(u32, u64, Vec<u8>)>,
    wide: bool,
}

impl Guest {
    /// Waits for the stick to attach and says hello.
    pub(crate) fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().expect("the stick attaches");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut guest = Self { stream, next_id: 1, early: VecDeque::new(), wide: false };
        let mut hello = vec![0_u8; 64];
        hello.extend(0x72_u32.to_le_bytes()); // version, max packet sizes, 64-bit ids, 32-bit lengths
        guest.send(0, 0, &hello);
        let (kind, _, body) = guest.read();
        assert_eq!((kind, body.len()), (0, 68), "hello comes first");
        guest.wide = true;
        guest
    }

    /// Waits for a device: its endpoint table and its ids.
    pub(crate) fn device(&mut self) -> (Vec<u8>, u16, u16) {
        let endpoints = self.wait_kind(5);
        let connect = self.wait_kind(1);
        (endpoints, u16_at(&connect, 4), u16_at(&connect, 6))
    }

    pub(crate) fn wait_gone(&mut self) {
        self.wait_kind(2);
    }

    /// A bus reset; there is no answer.
    pub(crate) fn reset(&mut self) {
        self.send(3, 0, &[]);
    }

    pub(crate) fn configure(&mut self) {
        let id = self.request(6, &[1]);
        assert_eq!(self.wait_id(8, id), [0, 1]);
    }

    pub(crate) fn control(&mut self, setup: [u8; 8]) -> (u8, Vec<u8>) {
        let id = self.start_control(setup);
        let body = self.wait_id(100, id);
        (body[3], body[10..].to_vec())
    }

    pub(crate) fn start_control(&mut self, setup: [u8; 8]) -> u64 {
        let [kind, request, rest @ ..] = setup;
        let mut body = vec![kind & 0x80, request, kind, 0];
        body.extend(rest);
        self.request(100, &body)
    }

    pub(crate) fn bulk_out(&mut self, endpoint: u8, data: &[u8]) {
        let id = self.start_bulk_out(endpoint, data);
        assert_eq!(self.wait_id(101, id)[1], 0, "the device takes the data");
    }

    pub(crate) fn start_bulk_out(&mut self, endpoint: u8, data: &[u8]) -> u64 {
        let mut body = bulk_header(endpoint, data.len());
        body.extend(data);
        self.request(101, &body)
    }

    /// One bulk IN transfer, or `None` when nothing came in time (it is taken back then).
    pub(crate) fn bulk_in(&mut self, endpoint: u8, patience: Duration) -> Option<Vec<u8>> {
        let id = self.request(101, &bulk_header(endpoint, 4096));
        let end = Instant::now() + patience;
        if let Some(body) = self.find(end, |kind, got| kind == 101 && got == id) {
            return Some(body[10..].to_vec());
        }
        assert_eq!(self.cancel(101, id), 1, "status: cancelled");
        None
    }

    /// Status of one bulk IN transfer.
    pub(crate) fn bulk_in_status(&mut self, endpoint: u8) -> u8 {
        let id = self.request(101, &bulk_header(endpoint, 4096));
        self.wait_id(101, id)[1]
    }

    /// Status of one bulk OUT transfer.
    pub(crate) fn bulk_out_status(&mut self, endpoint: u8, data: &[u8]) -> u8 {
        let id = self.start_bulk_out(endpoint, data);
        self.wait_id(101, id)[1]
    }

    /// Takes a transfer back; its status.
    pub(crate) fn cancel(&mut self, kind: u32, id: u64) -> u8 {
        self.send(21, id, &[]);
        let body = self.wait_id(kind, id);
        if kind == 100 { body[3] } else { body[1] }
    }

    pub(crate) fn poll_status(&mut self, endpoint: u8) {
        self.send(15, 0, &[endpoint]);
        assert_eq!(self.wait_kind(17), [0, endpoint]);
    }

    /// Waits for data of an interrupt endpoint.
    pub(crate) fn interrupt(&mut self) -> Vec<u8> {
        self.wait_kind(103)[4..].to_vec()
    }

    fn request(&mut self, kind: u32, body: &[u8]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(kind, id, body);
        id
    }

    fn send(&mut self, kind: u32, id: u64, body: &[u8]) {
        let mut packet = kind.to_le_bytes().to_vec();
        packet.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        packet.extend(&id.to_le_bytes()[..if self.wide { 8 } else { 4 }]);
        packet.extend(body);
        self.stream.write_all(&packet).unwrap();
    }

    fn wait_kind(&mut self, wanted: u32) -> Vec<u8> {
        self.find(Instant::now() + PATIENCE, |kind, _| kind == wanted)
            .unwrap_or_else(|| panic!("no packet of type {wanted}; others: {:?}", self.early))
    }

    fn wait_id(&mut self, wanted: u32, id: u64) -> Vec<u8> {
        self.find(Instant::now() + PATIENCE, |kind, got| kind == wanted && got == id)
            .unwrap_or_else(|| panic!("no answer to request {id} of type {wanted}"))
    }

    fn find(&mut self, end: Instant, wanted: impl Fn(u32, u64) -> bool) -> Option<Vec<u8>> {
        if let Some(at) = self.early.iter().position(|(kind, id, _)| wanted(*kind, *id)) {
            return self.early.remove(at).map(|(_, _, body)| body);
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.readable(left) {
                return None;
            }
            let (kind, id, body) = self.read();
            if wanted(kind, id) {
                return Some(body);
            }
            self.early.push_back((kind, id, body));
        }
    }

    fn readable(&self, patience: Duration) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(patience).unwrap()).unwrap() > 0
    }

    fn read(&mut self) -> (u32, u64, Vec<u8>) {
        let mut header = [0_u8; 16];
        let length = if self.wide { 16 } else { 12 };
        self.stream.read_exact(&mut header[..length]).expect("the stick keeps talking");
        let mut body = vec![0; u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize];
        self.stream.read_exact(&mut body).unwrap();
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        (kind, u64::from_le_bytes(header[8..].try_into().unwrap()), body)
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn bulk_header(endpoint: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    let mut body = vec![endpoint, 0];
    body.extend(&length.to_le_bytes()[..2]);
    body.extend([0; 4]);
    body.extend(&length.to_le_bytes()[2..]);
    body
}
