//! A device as anybody could write it: an MQTT 3.1.1 client that subscribes to `push` and acknowledges what comes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use mqtt_proto::{PollHeader, QoS, QosPid, TopicFilter, v3};
use pigeonloft_channels::xg::PUSH_TOPIC;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::cast::DemoDevice;

/// The server drops a device that is silent for one and a half times this.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Packets of the server are messages of some KiB; more is no packet.
const PACKET_BYTES: usize = 1 << 20;

/// Why a device is not connected, or no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server sent what is no MQTT")]
    Malformed(#[from] mqtt_proto::Error),
    #[error("the server sent a packet of {0} bytes")]
    TooLarge(usize),
    #[error("the server refused it: {0:?}")]
    Refused(v3::ConnectReturnCode),
    #[error("the server did not let it subscribe to `{PUSH_TOPIC}`")]
    NotSubscribed,
}

/// A device that is connected and subscribed.
pub(super) struct Connection {
    stream: TcpStream,
    incoming: BytesMut,
}

impl Connection {
    /// Connects, logs in and subscribes.
    pub(super) async fn open(server: SocketAddr, access_id: &str, device: &DemoDevice) -> Result<Self, Error> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, incoming: BytesMut::new() };
        let mut connect = v3::Connect::new(device.token.as_str().into(), KEEP_ALIVE.as_secs() as u16);
        connect.username = Some(access_id.into());
        connect.password = Some(Bytes::from(device.password.clone()));
        connection.send(v3::Packet::Connect(connect)).await?;
        match connection.receive().await? {
            v3::Packet::Connack(v3::Connack { code: v3::ConnectReturnCode::Accepted, .. }) => {}
            v3::Packet::Connack(connack) => return Err(Error::Refused(connack.code)),
            _ => return Err(Error::Closed),
        }
        let filter = TopicFilter::try_from(PUSH_TOPIC)?;
        let subscribe = v3::Subscribe::new(mqtt_proto::Pid::default(), vec![(filter, QoS::Level1)]);
        connection.send(v3::Packet::Subscribe(subscribe)).await?;
        // The server grants a subscription before it delivers to it.
        match connection.receive().await? {
            v3::Packet::Suback(suback) if suback.topics == [v3::SubscribeReturnCode::MaxLevel1] => Ok(connection),
            _ => Err(Error::NotSubscribed),
        }
    }

    /// Hands every message to `receive` and acknowledges it, until the connection ends.
    pub(super) async fn attend(mut self, mut receive: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut ping_at = Instant::now() + KEEP_ALIVE;
        loop {
            let packet = tokio::select! {
                packet = self.receive() => packet?,
                () = sleep_until(ping_at) => {
                    self.send(v3::Packet::Pingreq).await?;
                    ping_at = Instant::now() + KEEP_ALIVE;
                    continue;
                }
            };
            if let v3::Packet::Publish(publish) = packet {
                receive(&publish.payload);
                if let QosPid::Level1(id) = publish.qos_pid {
                    self.send(v3::Packet::Puback(id)).await?;
                }
            }
        }
    }

    async fn send(&mut self, packet: v3::Packet) -> Result<(), Error> {
        Ok(self.stream.write_all(packet.encode()?.as_ref()).await?)
    }

    /// The next packet. Nothing is lost when this is given up half-way.
    async fn receive(&mut self) -> Result<v3::Packet, Error> {
        loop {
            if let Some(packet) = self.next_packet()? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    fn next_packet(&mut self) -> Result<Option<v3::Packet>, Error> {
        let Some((start, length)) = frame(&self.incoming)? else { return Ok(None) };
        let end = start + length;
        if self.incoming.len() < end {
            return Ok(None);
        }
        let header = v3::Header::new_with(self.incoming[0], length as u32, end as u32)?;
        let packet = match header.build_empty_packet() {
            Some(packet) => packet,
            None => header.decode_buffer(&self.incoming[start..end], &mut 0)?,
        };
        self.incoming.advance(end);
        Ok(Some(packet))
    }
}

/// Where the body of the first packet begins, and its length; `None` while its header is not whole.
fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if length > PACKET_BYTES {
            return Err(Error::TooLarge(length));
        }
        if byte & 0x80 == 0 {
            return Ok(Some((place + 2, length)));
        }
    }
    if bytes.len() > 4 { Err(Error::TooLarge(length)) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_once_its_header_is_whole() {
        assert_eq!(frame(&[]).unwrap(), None);
        assert_eq!(frame(&[0xd0]).unwrap(), None);
        assert_eq!(frame(&[0xd0, 0]).unwrap(), Some((2, 0)));
        assert_eq!(frame(&[0x30, 0x80]).unwrap(), None);
        assert_eq!(frame(&[0x30, 0x80, 0x01]).unwrap(), Some((3, 128)));
        assert!(frame(&[0x30, 0xff, 0xff, 0xff, 0x7f]).is_err());
        assert!(frame(&[0x30, 0x80, 0x80, 0x80, 0x80]).is_err());
    }
}
