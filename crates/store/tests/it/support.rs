//! Support: a database in a folder of its own, with an app in it, and a look behind the store's back.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pigeonloft_model::{
    AccessId, AudienceKind, Day, DayFormat, Days, DeviceId, MessageType, Outcome, Platform, PushId, Token, UploadId,
};
use pigeonloft_store::{
    Accepted, App, BadRows, Batch, Counts, Cursor, LeftOut, NewDevice, NewPackage, NewPush, NewRevocation, Recipient,
    Registered, Store,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// The app every loft has.
pub(crate) const APP: AccessId = AccessId(1_500_000_001);

/// When the pushes of these tests expire, unless they say so themselves: never, as seen from here.
pub(crate) const FAR_AHEAD: i64 = 4_000_000_000;

/// All days there are.
pub(crate) const EVER: Days = Days { first: Day(i64::MIN), last: Day(i64::MAX), format: DayFormat::Dashed };

/// A store over a file that is removed with it.
pub(crate) struct Loft {
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
}

impl Loft {
    pub(crate) async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.add_app(app(APP)).await.unwrap();
        Self { store, dir }
    }

    /// The same file, opened anew.
    pub(crate) fn reopened(self) -> Self {
        drop(self.store);
        Self { store: Store::open(self.dir.path()).unwrap(), dir: self.dir }
    }

    /// Registers a device under the `n`th token.
    pub(crate) async fn device(&self, access_id: AccessId, n: u8) -> DeviceId {
        match self.store.register_device(new_device(access_id, n)).await.unwrap() {
            Registered::New(device) | Registered::Claimed(device) => device,
            Registered::Taken => panic!("token {n} is taken"),
        }
    }

    /// Registers so many devices of the app.
    pub(crate) async fn devices(&self, count: u8) -> Vec<DeviceId> {
        let mut devices = Vec::new();
        for n in 0..count {
            devices.push(self.device(APP, n).await);
        }
        devices
    }

    /// Accepts a push of the app to so many rows.
    pub(crate) async fn push(&self, rows: u64, expire_at: i64) -> PushId {
        let new = new_push(APP, rows, expire_at);
        accepted(self.store.add_pushes(vec![new], |id, _| format!("payload of {id}")).await.unwrap())
    }

    /// Revokes a push of the app. Answers whether there is one.
    pub(crate) async fn revoke(&self, push_id: PushId) -> bool {
        let new = NewRevocation { request: "{}".into(), start_at: 0, expire_at: FAR_AHEAD };
        self.store.revoke_push(APP, push_id, new, |id| format!("payload of {id}")).await.unwrap()
    }

    /// Records a batch whose every row names the device beside it.
    pub(crate) async fn record(
        &self,
        push_id: PushId,
        first_row: u64,
        outcomes: &[(DeviceId, Outcome)],
    ) -> pigeonloft_store::Result<()> {
        let recipients = outcomes.iter().map(|&(device, outcome)| Recipient::own(device, outcome)).collect();
        self.record_batch(batch(push_id, first_row, outcomes.len() as u64, 0, recipients)).await
    }

    pub(crate) async fn record_batch(&self, batch: Batch) -> pigeonloft_store::Result<()> {
        self.store.permit().await?.record_batch(Arc::new(batch)).await.map(|_| ())
    }

    /// The sums of a push of the app.
    pub(crate) async fn counts(&self, push_id: PushId) -> Counts {
        self.store.push(APP, push_id).await.unwrap().unwrap().counts
    }

    /// The pushes of which a message waits in a device's inbox.
    pub(crate) async fn waiting(&self, device: DeviceId, now: i64) -> Vec<PushId> {
        let messages = self.store.inbox(device, PushId(0), Vec::new(), now, 0, 100).await.unwrap();
        messages.into_iter().map(|message| message.push_id).collect()
    }

    /// A connection that sees what is on disk, past the store.
    pub(crate) fn behind_its_back(&self) -> Connection {
        Connection::open(self.store.path()).unwrap()
    }
}

/// A batch of all devices of these rows, and not the last one.
pub(crate) fn batch(push_id: PushId, first_row: u64, rows: u64, no_device: u64, recipients: Vec<Recipient>) -> Batch {
    let [from, to] = [first_row, first_row + rows].map(|row| Cursor { row, within: None });
    Batch {
        push_id,
        from,
        to,
        rows_done: to.row,
        no_device,
        left_out: LeftOut::default(),
        recipients,
        dead: Vec::new(),
        parked: Vec::new(),
        started_at: 1,
        is_last: false,
    }
}

/// The id of a push that was accepted.
pub(crate) fn accepted(answered: Accepted) -> PushId {
    match answered {
        Accepted::Pushes(ids) => ids[0],
        refused => panic!("{refused:?}"),
    }
}

pub(crate) fn app(access_id: AccessId) -> App {
    App {
        access_id,
        secret_key: "secret".into(),
        access_key: "key".into(),
        platform: Platform::Android,
        name: "test".into(),
        bad_rows: BadRows::Refuse,
        allowed: pigeonloft_model::Networks::default(),
    }
}

pub(crate) fn token(n: u8) -> Token {
    Token::from_bytes([n; 18])
}

pub(crate) fn new_device(access_id: AccessId, n: u8) -> NewDevice {
    NewDevice {
        access_id,
        token: token(n),
        password_hash: [n; 32],
        environment: None,
        channels: Vec::new(),
        reported: Vec::new(),
    }
}

pub(crate) fn new_push(access_id: AccessId, audience_rows: u64, expire_at: i64) -> NewPush {
    let request = r#"{"audience":{"token_list":["t"]},"message_type":"notify"}"#;
    NewPush {
        access_id,
        request: request.into(),
        upload_id: None,
        exclude_upload_id: None,
        audience_rows,
        message_type: MessageType::Notify,
        audience: AudienceKind::TokenList,
        plan_id: None,
        group_id: None,
        first_device: None,
        digest: None,
        line: None,
        start_at: 0,
        day: Day(0),
        expire_at,
        accept: None,
        vendors_only: false,
    }
}

pub(crate) fn new_package(access_id: AccessId, stored_as: &str) -> NewPackage {
    NewPackage {
        access_id,
        stored_as: stored_as.into(),
        file_name: "audience.txt".into(),
        format: "txt".into(),
        rows: 3,
        duplicates: 2,
        blanks: 1,
        bad_rows: 0,
        bytes: 12,
        not_tokens: 3,
        first_not_token: Some("line 1".into()),
    }
}

/// A push to a package.
pub(crate) fn package_push(access_id: AccessId, upload_id: UploadId) -> NewPush {
    NewPush { upload_id: Some(upload_id), ..new_push(access_id, 3, FAR_AHEAD) }
}

/// Spends the millisecond that is running: what is written next has a later time.
pub(crate) fn next_millisecond() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let before = now();
    while now() == before {
        std::hint::spin_loop();
    }
}
