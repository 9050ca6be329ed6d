//! The front desk: what the own channel asks of the server, answered from the store.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_channels::xg::{Ask, Desk, Login, Outgoing, Refused, Unavailable};
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{DeviceId, PushId, ReceiptEvent, Zone};
use pigeonloft_store::Store;
use tokio::sync::oneshot;

use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::held::Held;
use crate::password::password_fits;
use crate::recorder::{Report, Reports};

/// Answers the own channel's questions.
#[derive(Debug)]
pub struct FrontDesk {
    store: Store,
    reports: Reports,
    zone: Zone,
    held: Held,
}

impl FrontDesk {
    /// A desk over this store, whose reports go to this recorder. `zone`: where the hours of `accept_time` are meant.
    #[must_use]
    pub fn new(store: Store, reports: Reports, zone: Zone) -> Self {
        Self { store, reports, zone, held: Held::default() }
    }

    /// Messages that wait and that no session is shown now.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    fn report(&self, report: Report) {
        if self.reports.send(report).is_err() {
            tracing::debug!("a device reported while the server stops: it will again");
        }
    }

    /// Fills a device's attributes into these, as it has them now.
    async fn fill(&self, device: DeviceId, payloads: &mut [(Payload, i64)]) -> Result<(), Unavailable> {
        let mut names: Vec<String> = payloads.iter().flat_map(|(payload, _)| payload.attributes()).collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        let values = self.store.attribute_values(vec![device], names).await.map_err(|error| {
            tracing::error!(error = chain(&error), "a device's attributes could not be read");
            Unavailable
        })?;
        let values = Arc::new(values);
        for (payload, _) in payloads {
            payload.fill_from(Arc::clone(&values));
        }
        Ok(())
    }

    async fn report_durably(&self, report: Report, done: oneshot::Receiver<()>) -> Result<(), Unavailable> {
        self.report(report);
        done.await.map_err(|_| Unavailable)
    }
}

impl Desk for FrontDesk {
    async fn admit(&self, login: Login) -> Result<DeviceId, Refused> {
        let found = self.store.device(login.app, login.token).await.map_err(|error| {
            tracing::error!(error = chain(&error), "a device could not be looked up");
            Refused::Unavailable
        })?;
        let password = std::str::from_utf8(&login.password.0).map_err(|_| Refused::BadCredentials)?;
        found
            .filter(|device| password_fits(password, device.password_hash.as_ref()))
            .map(|device| device.device)
            .ok_or(Refused::BadCredentials)
    }

    async fn opened(&self, device: DeviceId) {
        let (done, durable) = oneshot::channel();
        // Stopping: the session will find its inbox unavailable, too.
        let _ = self.report_durably(Report::Opened { device, done }, durable).await;
    }

    async fn waiting(&self, device: DeviceId, ask: Ask) -> Result<Vec<Outgoing>, Unavailable> {
        let now = unix_seconds();
        let minute = self.zone.minute_of_day(now);
        let mut except = ask.except;
        except.extend(self.held.of(device));
        let messages = self.store.inbox(device, ask.after, except, now, minute, ask.limit).await;
        let messages = messages.map_err(|error| {
            tracing::error!(error = chain(&error), "an inbox could not be read");
            Unavailable
        })?;
        let payloads = messages.into_iter().filter_map(|message| match Payload::from_stored(message.template) {
            Ok(payload) => Some((payload, message.expire_at)),
            Err(error) => {
                tracing::error!(push_id = %message.push_id, error = chain(&error), "a stored payload is damaged");
                None
            }
        });
        let mut payloads: Vec<(Payload, i64)> = payloads.collect();
        self.fill(device, &mut payloads).await?;
        let outgoing = payloads.into_iter().map(|(payload, expires_at)| Outgoing {
            push: payload.push(),
            payload: Bytes::from(payload.for_device(device)),
            expires_at,
        });
        Ok(outgoing.collect())
    }

    fn arrived(&self, device: DeviceId, push: PushId) {
        self.report(Report::Arrived { device, push });
    }

    async fn receipt(&self, device: DeviceId, push: PushId, event: ReceiptEvent) -> Result<(), Unavailable> {
        let (done, durable) = oneshot::channel();
        self.report_durably(Report::Receipt { device, push, event, done }, durable).await
    }

    fn closed(&self, device: DeviceId) {
        tracing::trace!(%device, "session closed");
    }

    fn now(&self) -> i64 {
        unix_seconds()
    }
}
