//! The connections of a phone, each from CONNECT to its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt_proto::v3::{Connect, ConnectReturnCode, Packet, Publish, Subscribe};
use mqtt_proto::{Error, Pid, QoS, QosPid, TopicFilter, TopicName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::memory::{Delivery, Ending, Message};
use super::{Habit, Phone, State};

/// What the system keeps for a phone that never reads: as little as it can be made to.
const SMALL: u32 = 4096;

/// How long a phone that stays waits before it connects again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a test wants of a phone.
#[derive(Debug)]
pub(super) enum Command {
    /// Publish the receipt at this place of its memory.
    Report(usize),
    /// DISCONNECT.
    Leave,
    /// No word.
    Vanish,
}

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The phone wants it so.
    Wanted(Ending),
    /// Refused with this code.
    Refused(u8),
    /// The server ended it, or it broke.
    Broken,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Broken
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        panic!("the server does not speak MQTT 3.1.1: {error}")
    }
}

type Commands = mpsc::UnboundedReceiver<Command>;

struct Line {
    stream: TcpStream,
    read: Vec<u8>,
    phone: Phone,
    habit: Habit,
    task: u64,
    connection: usize,
    next_id: Pid,
    /// Receipts on their way: their places in the phone's memory, and which memory that was.
    reporting: HashMap<Pid, (u64, usize)>,
}

/// Connects the phone, once or, if it `stays`, until it is told otherwise.
pub(super) async fn run(
    server: SocketAddr,
    phone: Phone,
    task: u64,
    habit: Habit,
    stays: bool,
    mut commands: Commands,
) {
    loop {
        let connection = phone.memory().connection();
        let end = attend(server, &phone, (task, connection), habit, &mut commands).await;
        let (ending, state, wanted) = match end {
            End::Wanted(ending) => (ending, State::Offline, true),
            End::Broken => (Ending::Broken, State::Offline, false),
            End::Refused(code) => (Ending::Broken, State::Refused(code), false),
        };
        phone.memory().ended(connection, ending);
        if !stays || wanted {
            return phone.memory().end(task, state);
        }
        phone.memory().stands(task, State::Connecting);
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            // Whatever it is told while it has no connection, that is over.
            _ = commands.recv() => return phone.memory().end(task, State::Offline),
        }
    }
}

async fn attend(
    server: SocketAddr,
    phone: &Phone,
    (task, connection): (u64, usize),
    habit: Habit,
    commands: &mut Commands,
) -> End {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        if habit == Habit::NeverReads {
            socket.set_recv_buffer_size(SMALL)?;
        }
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let (phone, read, reporting) = (phone.clone(), Vec::new(), HashMap::new());
        let mut line = Line { stream, read, phone, habit, task, connection, next_id: Pid::default(), reporting };
        line.open().await?;
        Ok(line)
    };
    let connected = tokio::select! {
        connected = connect => connected,
        // Whatever it is told before it is connected, that is over.
        _ = commands.recv() => Err(End::Wanted(Ending::Cut)),
    };
    match connected {
        Ok(mut line) => {
            let Err(end) = line.serve(commands).await;
            end
        }
        Err(end) => end,
    }
}

impl Line {
    async fn open(&mut self) -> Result<(), End> {
        let device = self.phone.device.clone();
        let mut connect = Connect::new(device.token.as_str().into(), 0);
        connect.username = Some(device.access_id.to_string().into());
        connect.password = Some(Bytes::from(device.password.clone()));
        self.send(connect.into()).await?;
        match self.next().await? {
            Packet::Connack(connack) if connack.code == ConnectReturnCode::Accepted => {}
            Packet::Connack(connack) => return Err(End::Refused(connack.code as u8)),
            other => panic!("the server answers CONNECT with {other:?}"),
        }
        let filter = TopicFilter::try_from("push")?;
        self.send(Subscribe::new(Pid::default(), vec![(filter, QoS::Level1)]).into()).await?;
        match self.next().await? {
            Packet::Suback(_) => {
                let mut memory = self.phone.memory();
                memory.connections[self.connection].subscribed = Some(Instant::now());
                memory.stands(self.task, State::Online);
            }
            other => panic!("the server answers SUBSCRIBE with {other:?}"),
        }
        if self.habit == Habit::Shows {
            let receipts = self.phone.receipts();
            for (place, _) in receipts.iter().enumerate().filter(|(_, receipt)| !receipt.taken) {
                self.report(place).await?;
            }
        }
        Ok(())
    }

    async fn serve(&mut self, commands: &mut Commands) -> Result<Infallible, End> {
        loop {
            let packet = tokio::select! {
                command = commands.recv() => {
                    self.obey(command).await?;
                    continue;
                }
                packet = self.next(), if self.habit != Habit::NeverReads => packet?,
            };
            match packet {
                Packet::Publish(publish) => self.take(&publish).await?,
                Packet::Puback(id) => self.taken(id),
                Packet::Pingresp => {}
                other => panic!("the server sends {other:?}"),
            }
        }
    }

    async fn send(&mut self, packet: Packet) -> Result<(), End> {
        let bytes = packet.encode()?;
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// The next packet. Cancelling loses nothing.
    async fn next(&mut self) -> Result<Packet, End> {
        loop {
            if let Some(packet) = Packet::decode(&self.read)? {
                let length = packet.encode_len()?;
                self.read.drain(..length);
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(End::Broken);
            }
        }
    }

    async fn take(&mut self, publish: &Publish) -> Result<(), End> {
        let payload: Value = serde_json::from_slice(&publish.payload).expect("a message is JSON");
        let text = |name: &str| payload[name].as_str().expect("a message has ids").to_owned();
        let message = Message { push_id: text("push_id"), msg_id: text("msg_id"), payload: payload.clone() };
        let push_id = message.push_id.clone();
        let QosPid::Level1(id) = publish.qos_pid else { panic!("a message comes with QoS 1: {publish:?}") };
        let acknowledges = matches!(self.habit, Habit::Acknowledges | Habit::Shows);
        // Kept before it is acknowledged, as a phone should. What came over an older connection came, too.
        let delivery = Delivery { message, at: Instant::now(), connection: self.connection, acknowledged: false };
        let place = self.keep(delivery);
        if acknowledges {
            self.send(Packet::Puback(id)).await?;
            self.acknowledged(place);
        }
        if self.habit == Habit::Shows {
            let place = self.phone.memory().reported_once(&push_id, "shown");
            if let Some(place) = place {
                self.report(place).await?;
            }
        }
        Ok(())
    }

    fn keep(&self, delivery: Delivery) -> (u64, usize) {
        let mut memory = self.phone.memory();
        memory.deliveries.push(delivery);
        (memory.forgotten, memory.deliveries.len() - 1)
    }

    fn acknowledged(&self, (forgotten, place): (u64, usize)) {
        let mut memory = self.phone.memory();
        if memory.forgotten == forgotten {
            memory.deliveries[place].acknowledged = true;
        }
    }

    async fn report(&mut self, place: usize) -> Result<(), End> {
        let (forgotten, receipt) = {
            let memory = self.phone.memory();
            let Some(receipt) = memory.receipts.get(place) else { return Ok(()) };
            (memory.forgotten, json!({ "push_id": receipt.push_id, "event": receipt.event }))
        };
        let id = self.next_id;
        self.next_id = id + 1;
        self.reporting.insert(id, (forgotten, place));
        let topic = TopicName::try_from("receipt")?;
        self.send(Publish::new(QosPid::Level1(id), topic, Bytes::from(receipt.to_string())).into()).await
    }

    fn taken(&mut self, id: Pid) {
        let (forgotten, place) = self.reporting.remove(&id).expect("what the server acknowledges was sent");
        let mut memory = self.phone.memory();
        if memory.forgotten == forgotten {
            memory.receipts[place].taken = true;
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Result<(), End> {
        match command {
            Some(Command::Report(place)) => self.report(place).await,
            Some(Command::Leave) => {
                let was_heard = self.farewell().await.is_ok();
                Err(End::Wanted(if was_heard { Ending::Left } else { Ending::Broken }))
            }
            // Without commands: the phone connects anew, or nobody has it any more.
            Some(Command::Vanish) | None => {
                // An abrupt end, as a phone in a tunnel has it, sends nothing at all; a reset is the nearest to it.
                let _ = self.stream.set_zero_linger();
                Err(End::Wanted(Ending::Cut))
            }
        }
    }

    async fn farewell(&mut self) -> Result<(), End> {
        self.send(Packet::Disconnect).await?;
        self.stream.shutdown().await?;
        // What is closed with something unread is reset, and what was said last may go with it.
        while self.stream.read_buf(&mut self.read).await? > 0 {
            self.read.clear();
        }
        Ok(())
    }
}
