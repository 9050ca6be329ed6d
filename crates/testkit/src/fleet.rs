//! Fleet: thousands of MQTT devices in one process, on one thread. Each remembers what it got, over all connections.
//!
//! They speak 3.1.1 through the codec the server uses; what other clients make of the server is for [`program`].
//!
//! [`program`]: crate::program

mod connection;
mod memory;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::app::Device;
use crate::server::Server;
use crate::wait::until;
use connection::Command;
use memory::Memory;

pub use memory::{Connection, Delivery, Ending, Message, Receipt};

/// Phones that connect at the same time: below what a listening socket keeps waiting.
const AT_ONCE: usize = 256;

/// How a device behaves while it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Reads and acknowledges at once.
    Acknowledges,
    /// Acknowledges, and reports each push as shown at once; what was not answered is reported again when it connects.
    Shows,
    /// Reads, and acknowledges nothing.
    NeverAcknowledges,
    /// Subscribes, then reads nothing any more.
    NeverReads,
}

/// Where a device's connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Offline,
    /// It is being made.
    Connecting,
    /// The server granted its subscription.
    Online,
    /// The server refused it, with this return code.
    Refused(u8),
}

/// A device. Cheap to clone; clones are the same device.
#[derive(Debug, Clone)]
pub struct Phone {
    device: Arc<Device>,
    memory: Arc<Mutex<Memory>>,
}

/// The devices of a test, and the thread they run on. Dropping it cuts all connections.
pub struct Fleet {
    runtime: Runtime,
    server: SocketAddr,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Fleet {
    /// A fleet whose devices connect to this address.
    ///
    /// # Panics
    /// No thread can be started.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
        Self { runtime, server }
    }

    /// A fleet of these devices, in their order, all online and acknowledging.
    ///
    /// # Panics
    /// One cannot be brought online.
    #[must_use]
    pub fn of(server: &Server, devices: impl IntoIterator<Item = Device>) -> (Self, Vec<Phone>) {
        let phones: Vec<Phone> = devices.into_iter().map(Phone::new).collect();
        let fleet = Self::new(server.mqtt());
        fleet.online(&phones, Habit::Acknowledges);
        (fleet, phones)
    }

    /// Begins to connect a phone; a connection it had is cut.
    pub fn connect(&self, phone: &Phone, habit: Habit) {
        self.begin(phone, habit, false);
    }

    /// As [`Fleet::connect`], and the phone connects again whenever the server ends the connection or cannot be
    /// reached, until it is told to [`Phone::leave`] or to [`Phone::vanish`].
    pub fn stay(&self, phone: &Phone, habit: Habit) {
        self.begin(phone, habit, true);
    }

    fn begin(&self, phone: &Phone, habit: Habit, stays: bool) {
        let (commands, received) = mpsc::unbounded_channel();
        let connection = phone.memory().begin(commands);
        self.runtime.spawn(connection::run(self.server, phone.clone(), connection, habit, stays, received));
    }

    /// Connects phones, and waits until all are subscribed.
    ///
    /// # Panics
    /// One is not.
    pub fn online<'a>(&self, phones: impl IntoIterator<Item = &'a Phone>, habit: Habit) {
        let phones: Vec<&Phone> = phones.into_iter().collect();
        for some in phones.chunks(AT_ONCE) {
            some.iter().for_each(|phone| self.connect(phone, habit));
            some.iter().for_each(|phone| phone.wait_for_state(&State::Online));
        }
    }
}

impl Phone {
    /// A device that has got nothing yet.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device: Arc::new(device), memory: Arc::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who it is.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Where its connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.memory().state.clone()
    }

    /// Waits until its connection stands so.
    ///
    /// # Panics
    /// It never does.
    pub fn wait_for_state(&self, state: &State) {
        let what = format!("device {} is {state:?}", self.device.token);
        until(&what, || (self.memory().state == *state).then_some(()));
    }

    /// Everything it got, repeats included, in the order it came.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.memory().deliveries.iter().map(|delivery| delivery.message.clone()).collect()
    }

    /// How everything it got came, in that order, and the connections over which it did.
    #[must_use]
    pub fn deliveries(&self) -> (Vec<Delivery>, Vec<Connection>) {
        let memory = self.memory();
        (memory.deliveries.clone(), memory.connections.clone())
    }

    /// How many messages it got, repeats included, and how many of its receipts the server has taken.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let memory = self.memory();
        (memory.deliveries.len(), memory.receipts.iter().filter(|receipt| receipt.taken).count())
    }

    /// What it reported, in that order.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.memory().receipts.clone()
    }

    /// Forgets what it got and reported. Its connection stays.
    pub fn forget(&self) {
        self.memory().forget();
    }

    /// Waits until it has got this many messages, repeats included; answers them.
    ///
    /// # Panics
    /// It does not get them.
    #[must_use]
    pub fn wait_for_messages(&self, count: usize) -> Vec<Message> {
        until(&format!("device {} has {count} messages", self.device.token), || {
            Some(self.messages()).filter(|messages| messages.len() >= count)
        })
    }

    /// The message ids it got of a push, each once, and how many messages they came in.
    #[must_use]
    pub fn of_push(&self, push_id: &str) -> (BTreeSet<String>, usize) {
        let memory = self.memory();
        let of_push = memory.deliveries.iter().map(|delivery| &delivery.message).filter(|m| m.push_id == push_id);
        let ids: Vec<&String> = of_push.map(|message| &message.msg_id).collect();
        (ids.iter().copied().cloned().collect(), ids.len())
    }

    /// Reports something of a push, such as `shown`, and waits until the server has acknowledged it.
    ///
    /// # Panics
    /// It does not, or the phone is offline.
    pub fn report(&self, push_id: &str, event: &str) {
        let place = {
            let mut memory = self.memory();
            let place = memory.reported(push_id, event);
            let commands = memory.commands.as_ref().expect("it is connected");
            commands.send(Command::Report(place)).expect("it is connected");
            place
        };
        until("the receipt is taken", || self.memory().receipts[place].taken.then_some(()));
    }

    /// Leaves the way the protocol wants it, and waits until it has.
    pub fn leave(&self) {
        self.tell(Command::Leave);
    }

    /// Breaks the connection off without a word, and waits until it is.
    pub fn vanish(&self) {
        self.tell(Command::Vanish);
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.memory().commands {
            // The server may have ended the connection already.
            let _ = commands.send(command);
        }
        until("the connection is over", || self.memory().commands.is_none().then_some(()));
    }
}
