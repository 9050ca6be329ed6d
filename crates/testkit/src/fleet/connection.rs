//! One connection of a phone, from CONNECT to its end.

use std::net::SocketAddr;

use bytes::Bytes;
use mqtt_proto::v3::{Connect, ConnectReturnCode, Packet, Publish, Subscribe};
use mqtt_proto::{Error, Pid, QoS, QosPid, TopicFilter, TopicName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::{Habit, Message, Phone, State};

/// What the system keeps for a phone that never reads: as little as it can be made to.
const SMALL: u32 = 4096;

/// What a test wants of a phone.
#[derive(Debug)]
pub(super) enum Command {
    /// Publish this receipt.
    Report(String),
    /// DISCONNECT.
    Leave,
    /// No word.
    Vanish,
}

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The phone wants it so.
    Wanted,
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

struct Line {
    stream: TcpStream,
    read: Vec<u8>,
    phone: Phone,
    connection: u64,
}

pub(super) async fn run(
    server: SocketAddr,
    phone: Phone,
    connection: u64,
    habit: Habit,
    commands: mpsc::UnboundedReceiver<Command>,
) {
    let end = match attend(server, &phone, connection, habit, commands).await {
        Ok(()) | Err(End::Wanted | End::Broken) => State::Offline,
        Err(End::Refused(code)) => State::Refused(code),
    };
    let mut memory = phone.memory();
    if memory.connection == connection {
        memory.state = end;
        memory.commands = None;
    }
}

async fn attend(
    server: SocketAddr,
    phone: &Phone,
    connection: u64,
    habit: Habit,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> Result<(), End> {
    let socket = TcpSocket::new_v4()?;
    if habit == Habit::NeverReads {
        socket.set_recv_buffer_size(SMALL)?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let mut line = Line { stream, read: Vec::new(), phone: phone.clone(), connection };
    line.open().await?;
    loop {
        let packet = tokio::select! {
            command = commands.recv() => {
                line.obey(command).await?;
                continue;
            }
            packet = line.next(), if habit != Habit::NeverReads => packet?,
        };
        match packet {
            Packet::Publish(publish) => line.take(&publish, habit).await?,
            Packet::Puback(_) => line.phone.memory().receipts_taken += 1,
            Packet::Pingresp => {}
            other => panic!("the server sends {other:?}"),
        }
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
            Packet::Suback(_) => self.note(|memory| memory.state = State::Online),
            other => panic!("the server answers SUBSCRIBE with {other:?}"),
        }
        Ok(())
    }

    /// Changes the phone's memory, unless it has a newer connection.
    fn note(&self, change: impl FnOnce(&mut super::Memory)) {
        let mut memory = self.phone.memory();
        if memory.connection == self.connection {
            change(&mut memory);
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

    async fn take(&mut self, publish: &Publish, habit: Habit) -> Result<(), End> {
        let payload: Value = serde_json::from_slice(&publish.payload).expect("a message is JSON");
        let text = |name: &str| payload[name].as_str().expect("a message has ids").to_owned();
        let message = Message { push_id: text("push_id"), msg_id: text("msg_id"), payload: payload.clone() };
        // What came over an older connection came, too.
        self.phone.memory().messages.push(message);
        match publish.qos_pid {
            QosPid::Level1(id) if habit == Habit::Acknowledges => self.send(Packet::Puback(id)).await,
            QosPid::Level1(_) => Ok(()),
            other => panic!("a message comes with QoS 1, not {other:?}"),
        }
    }

    async fn obey(&mut self, command: Option<Command>) -> Result<(), End> {
        match command {
            Some(Command::Report(receipt)) => {
                let topic = TopicName::try_from("receipt")?;
                let id = QosPid::Level1(Pid::default());
                self.send(Publish::new(id, topic, Bytes::from(receipt)).into()).await
            }
            Some(Command::Leave) => {
                self.send(Packet::Disconnect).await?;
                self.stream.shutdown().await?;
                Err(End::Wanted)
            }
            // Without commands: the phone connects anew, or nobody has it any more.
            Some(Command::Vanish) | None => {
                // An abrupt end, as a phone in a tunnel has it, sends nothing at all; a reset is the nearest to it.
                self.stream.set_zero_linger()?;
                Err(End::Wanted)
            }
        }
    }
}
