//! One connection: bytes in, answers out, and what it waits for.

use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use crate::request::{MAX_HEAD, Method, Parsed, Request, parse};
use crate::response::Response;

/// Answers in a row before others get their turn.
const ANSWERS_A_TURN: u64 = 16;
/// Bytes thrown away after the last answer, before we stop being polite: who sends a megabyte of header
/// learns that it was too much, instead of a reset.
const LINGER_BYTES: usize = 2 << 20;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The (rest of the) head of a request.
    Head,
    /// Another request on a connection that had one.
    Idle,
    /// Room in the send buffer.
    Writing,
    /// The client's end, so that closing with unread bytes does not destroy the last answer
    /// (RFC 9112, 9.6).
    Linger,
}

/// What came of driving a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Wait(Phase),
    Closed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of it that were judged already and are no whole head.
    judged: usize,
    output: Vec<u8>,
    sent: usize,
    /// No request after the answer in `output`.
    last: bool,
    /// The client may have sent more by now, not knowing that the answer was the last.
    cut: bool,
    lingering: bool,
    thrown: usize,
    /// Requests answered on it.
    pub(crate) answered: u64,
    /// Those among them that were no proper request.
    pub(crate) refused: u64,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            judged: 0,
            output: Vec::new(),
            sent: 0,
            last: false,
            cut: false,
            lingering: false,
            thrown: 0,
            answered: 0,
            refused: 0,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Goes as far as it can without waiting. `closing`: the server is about to end, so that an answer
    /// that could be followed by another request is the last, and says so.
    pub(crate) fn drive(
        &mut self,
        closing: bool,
        answer: &mut impl FnMut(&Request<'_>) -> Response,
    ) -> Outcome {
        let until = self.answered + ANSWERS_A_TURN;
        loop {
            if self.lingering {
                return self.linger();
            }
            match self.flush() {
                Ok(true) => {}
                Ok(false) => return Outcome::Wait(Phase::Writing),
                Err(_) => return Outcome::Closed,
            }
            if self.last {
                match self.finish() {
                    Some(outcome) => return outcome,
                    None => continue,
                }
            }
            if self.take_request(closing, answer) {
                continue;
            }
            // Only with an empty buffer: what is in the socket will wake us again, what is in here not.
            if self.answered >= until && self.input.is_empty() {
                return Outcome::Wait(Phase::Idle);
            }
            match self.receive() {
                Ok(0) => return Outcome::Closed,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let idle = self.input.is_empty() && self.answered > 0;
                    return Outcome::Wait(if idle { Phase::Idle } else { Phase::Head });
                }
                Err(_) => return Outcome::Closed,
            }
        }
    }

    /// Answers the request at the start of the input, if it is complete (or wrong).
    fn take_request(&mut self, closing: bool, answer: &mut impl FnMut(&Request<'_>) -> Response) -> bool {
        if !self.may_be_whole() {
            return false;
        }
        let consumed = match parse(&self.input) {
            Parsed::Partial => {
                self.judged = self.input.len();
                return false;
            }
            Parsed::Invalid(status) => {
                self.last = true;
                self.refused += 1;
                Response::status(status).write(Method::Get, false, &mut self.output);
                0
            }
            Parsed::Complete(request, length) => {
                self.last = !request.keep_alive || request.body;
                // What is in the buffer already is still answered.
                if closing && !self.last && length == self.input.len() {
                    (self.last, self.cut) = (true, true);
                }
                let response = match request.method {
                    Method::Get | Method::Head => answer(&request),
                    Method::Other => Response::status(405),
                    Method::Unknown => Response::status(501),
                };
                self.refused += u64::from(matches!(request.method, Method::Other | Method::Unknown));
                response.write(request.method, !self.last, &mut self.output);
                // The bytes of a body count as unread.
                if request.body { 0 } else { length }
            }
        };
        self.input.drain(..consumed);
        self.judged = 0;
        self.answered += 1;
        true
    }

    /// Whether judging again may say something new: a head that comes byte by byte is not read anew for
    /// each, or a dribbler would cost the square of its bytes. The end of a head has four bytes.
    fn may_be_whole(&self) -> bool {
        const END: &[u8] = b"\r\n\r\n";
        let new = &self.input[self.judged.saturating_sub(END.len() - 1)..];
        // So short that the first byte of a request may be among the new ones.
        self.judged < END.len()
            || self.input.len() >= MAX_HEAD
            || new.windows(END.len()).any(|bytes| bytes == END)
    }

    /// Sends what there is to send; whether all of it went out.
    fn flush(&mut self) -> Result<bool, Errno> {
        while self.sent < self.output.len() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), &self.output[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Ends after the last answer: at once when the client has said nothing we did not read.
    fn finish(&mut self) -> Option<Outcome> {
        if self.input.is_empty() && !self.cut {
            return Some(Outcome::Closed);
        }
        if self.part() { None } else { Some(Outcome::Closed) }
    }

    /// Says that nothing more will come from here, and reads on to the client's end: closing a socket
    /// with something unread resets it. Whether it could be said.
    pub(crate) fn part(&mut self) -> bool {
        self.lingering = true;
        shutdown(self.stream.as_raw_fd(), Shutdown::Write).is_ok()
    }

    fn linger(&mut self) -> Outcome {
        self.input.clear();
        self.judged = 0;
        loop {
            match self.receive() {
                Ok(0) => return Outcome::Closed,
                Ok(count) => {
                    self.input.clear();
                    self.thrown += count;
                    if self.thrown > LINGER_BYTES {
                        return Outcome::Closed;
                    }
                }
                Err(Errno::EAGAIN) => return Outcome::Wait(Phase::Linger),
                Err(Errno::EINTR) => {}
                Err(_) => return Outcome::Closed,
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        let mut buffer = [0; MAX_HEAD];
        // Never more in memory than the longest head; beyond it the parser has refused already.
        let room = MAX_HEAD.saturating_sub(self.input.len()).max(1);
        let count = recv(self.stream.as_raw_fd(), &mut buffer[..room], MsgFlags::MSG_DONTWAIT)?;
        self.input.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}
