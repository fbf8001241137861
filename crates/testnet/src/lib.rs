//! Network namespaces for tests.
//!
//! A [`Namespace`] is a thread that left the machine's network behind; what it runs, and every
//! program it starts, sees a network of its own with a real kernel's rules, routes and sysctls.
//! Nothing in it can reach out. It ends with the value.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;
use sysio::Runner;

/// `ip` and its like answer at once; this is for a busy machine.
const COMMAND: Duration = Duration::from_secs(20);
/// A piece of work that takes longer is stuck.
const WORK: Duration = Duration::from_secs(120);

type Work = Box<dyn FnOnce() + Send>;

/// A network of its own.
#[derive(Debug)]
pub struct Namespace {
    id: i32,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// A namespace with nothing but a loopback interface, switched on.
    ///
    /// # Panics
    /// Without the right to make one: these tests run inside the SDK.
    pub fn new() -> Self {
        let (work, inbox): (Sender<Work>, Receiver<Work>) = channel();
        let (ready, id) = channel();
        let thread = spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace (run inside scripts/sdk)");
            command("ip link set lo up");
            ready.send(gettid().as_raw()).expect("the maker waits");
            for work in inbox {
                work();
            }
        });
        let id = id.recv_timeout(WORK).expect("a network namespace");
        Self { id, work: Some(work), thread: Some(thread) }
    }

    /// The thread that holds the namespace, for `/proc/self/task/<thread>/ns/net`.
    pub fn thread(&self) -> i32 {
        self.id
    }

    /// Starts work in the namespace; [`Pending::wait`] gives its result. Work is done in order.
    pub fn start<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (done, result) = channel();
        let work = Box::new(move || drop(done.send(work())));
        self.work.as_ref().expect("alive").send(work).expect("the namespace's thread lives");
        Pending(result)
    }

    /// Runs work in the namespace to its end.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.start(work).wait()
    }

    /// Runs a command line (words, no shell) and gives its output.
    ///
    /// # Panics
    /// If it fails.
    pub fn sh(&self, line: &str) -> String {
        let line = line.to_owned();
        self.run(move || command(&line))
    }

    /// A cable from interface `here` to interface `there` of another namespace, both switched on.
    pub fn cable(&self, here: &str, other: &Self, there: &str) {
        self.sh(&format!("ip link add {here} type veth peer name {there} netns {}", other.id));
        self.sh(&format!("ip link set {here} up"));
        other.sh(&format!("ip link set {there} up"));
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has already failed the test that waited for the result.
            let _ = thread.join();
        }
    }
}

/// Work under way.
#[derive(Debug)]
pub struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    /// Its result, if it is there already.
    ///
    /// # Errors
    /// While it is not, or if the work panicked.
    pub fn try_wait(&self) -> Result<T, TryRecvError> {
        self.0.try_recv()
    }

    /// Its result.
    ///
    /// # Panics
    /// If the work panicked or takes longer than two minutes.
    pub fn wait(self) -> T {
        self.0.recv_timeout(WORK).expect("the work in the namespace ends")
    }
}

fn command(line: &str) -> String {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a command");
    match Runner::new(program, words, COMMAND).run() {
        Ok(output) => output.stdout,
        Err(error) => panic!("{line}: {error}"),
    }
}
