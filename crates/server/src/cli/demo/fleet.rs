//! The fleet: all connected devices of the demo, each attended by a task of its own.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::cast::Cast;
use super::device::{Connection, Error};
use super::ledger::Ledger;
use crate::cli::failure::Failure;
use crate::cli::progress;

/// Devices that connect at the same time.
const CONNECTING: usize = 100;

/// The devices that are online. Dropping it takes them off.
pub(super) struct Fleet {
    server: SocketAddr,
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    attended: JoinSet<Result<(), Error>>,
}

/// What a device looks at in a message.
#[derive(Deserialize)]
struct Message {
    push_id: String,
    msg_id: String,
}

impl Fleet {
    /// No device yet.
    pub(super) fn new(server: SocketAddr, cast: Arc<Cast>) -> Self {
        Self { server, cast, ledger: Arc::new(Ledger::new()), attended: JoinSet::new() }
    }

    /// What the devices received.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Devices online.
    pub(super) fn online(&mut self) -> usize {
        while self.attended.try_join_next().is_some() {}
        self.attended.len()
    }

    /// Brings these devices online.
    pub(super) async fn bring_online(&mut self, which: Range<usize>) -> Result<(), Failure> {
        let bar = progress::of_things(which.len() as u64, "connecting");
        let access_id = self.cast.app.access_id.to_string();
        let (server, cast) = (self.server, self.cast.clone());
        let mut connecting = stream::iter(which)
            .map(|number| {
                let (device, access_id) = (&cast.devices[number], &access_id);
                async move {
                    let connection = Connection::open(server, access_id, device).await;
                    connection.map(|connection| (number, connection)).map_err(|error| {
                        Failure::of(format_args!("device {} ({}) is not online", number + 1, device.token), &error)
                    })
                }
            })
            .buffer_unordered(CONNECTING);
        while let Some((number, connection)) = connecting.try_next().await? {
            let ledger = self.ledger.clone();
            self.attended.spawn(connection.attend(move |payload| {
                // What is no message of ours counts for nothing, and so shows as missed.
                if let Ok(Message { push_id, msg_id }) = serde_json::from_slice(payload) {
                    ledger.note(number, push_id, msg_id);
                }
            }));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }
}
