//! The story: upload, push, receive; be offline, come back, receive; and the table of what became of it all.

use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanCount;
use pigeonloft_model::{PushId, PushState};
use pigeonloft_store::{Counts, Push};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::cast::{AudienceFile, Cast, FILES, ONLINE};
use super::fleet::Fleet;
use super::ledger::Reached;
use crate::cli::client::{self, Client};
use crate::cli::failure::{Failure, say};
use crate::cli::progress;
use crate::net::Addresses;

/// An app may push to a package once in this time.
const TURN: Duration = Duration::from_secs(1);

/// How often the figures are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The story ends here, whatever has not arrived by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// A push of the story.
struct Told {
    file: &'static AudienceFile,
    upload_id: i64,
    push_id: PushId,
    audience: Vec<usize>,
}

/// How the story ended.
pub(super) struct Verdict {
    /// Of the first file.
    pub(super) upload_id: i64,
    /// Of the first push.
    pub(super) push_id: PushId,
    messages: usize,
    trouble: Vec<String>,
}

impl Verdict {
    /// A failure, unless every device got each of its messages exactly once. What went wrong is said already.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        if self.trouble.is_empty() { Ok(()) } else { Err(Failure::Said) }
    }
}

/// Tells the story, up to the table.
pub(super) async fn tell(addresses: &Addresses, cast: &Arc<Cast>) -> Result<(Fleet, Verdict), Failure> {
    let devices = cast.devices.len();
    say(format_args!("app {} has {} devices, an account each", cast.app.access_id, HumanCount(devices as u64)))?;
    let mut fleet = Fleet::new(addresses.mqtt, cast.clone());
    fleet.bring_online(0..ONLINE).await?;
    say(format_args!("{} of them are online over MQTT, {} are not", HumanCount(ONLINE as u64), devices - ONLINE))?;

    let client = Client::new(&format!("http://{}", addresses.http), cast.app.access_id, &cast.app.secret_key);
    let begun = Instant::now();
    let told = upload_and_push(&client, cast).await?;
    let online = |told: &Told| told.audience.iter().filter(|device| **device < ONLINE).count();
    watch(&fleet, cast, &told, online).await?;
    say(format_args!(
        "{} messages have arrived {:.1} s after the first upload began, a second's pause between two pushes included",
        HumanCount(fleet.ledger().count()),
        begun.elapsed().as_secs_f64()
    ))?;

    fleet.bring_online(ONLINE..devices).await?;
    say(format_args!("the other {} come online, and what waited for them arrives", devices - ONLINE))?;
    watch(&fleet, cast, &told, |told| told.audience.len()).await?;
    let verdict = judge(&fleet, cast, &told).await?;
    fleet.ledger().close();
    Ok((fleet, verdict))
}

async fn upload_and_push(client: &Client, cast: &Cast) -> Result<Vec<Told>, Failure> {
    let mut told = Vec::new();
    let mut turn = Instant::now();
    for file in &FILES {
        let upload = move |client: Client| client.upload(file.name, file.bytes.len() as u64, file.bytes);
        let upload_id = call(client, upload).await?;
        sleep_until(turn).await;
        let push = move |client: Client| client.post("/v3/push/app", &push_body(file, upload_id));
        let answer = call(client, push).await?;
        turn = Instant::now() + TURN;
        let push_id = answer["push_id"].as_str().and_then(|id| id.parse().ok());
        let push_id = push_id.ok_or_else(|| Failure::new("the answer to the push has no push_id"))?;
        say(format_args!(
            "examples/{} is uploaded as uploadId {upload_id} and pushed to ({}) by push {push_id}",
            file.name, file.audience_type
        ))?;
        told.push(Told { file, upload_id, push_id, audience: cast.audience(file) });
    }
    Ok(told)
}

/// A push as any client writes it.
fn push_body(file: &AudienceFile, upload_id: i64) -> serde_json::Value {
    json!({
        "audience_type": file.audience_type,
        "upload_id": upload_id,
        "message_type": "notify",
        "message": {
            "title": "Hello from the loft",
            "content": format!("This went to everybody in {}", file.name),
            "android": { "custom_content": "{\"demo\":true}" },
        },
    })
}

/// Makes a call, which blocks, aside.
async fn call<T: Send + 'static>(
    client: &Client,
    call: impl FnOnce(Client) -> Result<T, client::Error> + Send + 'static,
) -> Result<T, Failure> {
    let client = client.clone();
    let done = tokio::task::spawn_blocking(move || call(client)).await;
    Ok(done.map_err(|error| Failure::of("a call failed", &error))??)
}

/// Watches until every push has been dealt with and has arrived at as many devices as `expected`, here and in the
/// server's books, or for as long as there is patience.
async fn watch(fleet: &Fleet, cast: &Cast, told: &[Told], expected: impl Fn(&Told) -> usize) -> Result<(), Failure> {
    let bar = progress::of_things(told.iter().map(|told| expected(told) as u64).sum(), "arrived");
    let arrived = async {
        loop {
            bar.set_position(fleet.ledger().count());
            let mut done = true;
            for told in told {
                let push = push(cast, told.push_id).await?;
                let expected = expected(told);
                done &= push.state == PushState::Finished
                    && push.counts.arrived >= expected as u64
                    && fleet.ledger().devices(&told.push_id.to_string()) >= expected;
            }
            if done {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    };
    // What has not come by then is told by the verdict.
    let watched = timeout(PATIENCE, arrived).await.unwrap_or(Ok(()));
    bar.finish_and_clear();
    watched
}

async fn push(cast: &Cast, push_id: PushId) -> Result<Push, Failure> {
    let push = cast.store.push(cast.app.access_id, push_id).await?;
    push.ok_or_else(|| Failure::new(format!("push {push_id} is not in the database")))
}

/// Prints the table, and compares the server's books with the devices' own.
async fn judge(fleet: &Fleet, cast: &Cast, told: &[Told]) -> Result<Verdict, Failure> {
    let mut verdict =
        Verdict { upload_id: told[0].upload_id, push_id: told[0].push_id, messages: 0, trouble: Vec::new() };
    say("")?;
    say(
        "push  audience        rows  no device  targets   sent  arrived  waiting  expired  not kept  no channel  gone  stopped",
    )?;
    for told in told {
        let push = push(cast, told.push_id).await?;
        let Counts { audience_rows, no_device, targets, sent, arrived, .. } = push.counts;
        let Counts { waiting, expired, not_kept, no_channel, gone, stopped, .. } = push.counts;
        say(format_args!(
            "{:<4}  {:<12}  {audience_rows:>6}  {no_device:>9}  {targets:>7} {sent:>6}  {arrived:>7}  {waiting:>7}  \
             {expired:>7}  {not_kept:>8}  {no_channel:>10}  {gone:>4}  {stopped:>7}",
            told.push_id, told.file.name
        ))?;
        let name = told.file.name;
        let reached = fleet.ledger().reached(&told.push_id.to_string(), &told.audience);
        verdict.messages += reached.once;
        let Reached { once, missed, repeated, astray } = reached;
        if once != told.audience.len() || astray > 0 {
            verdict.trouble.push(format!(
                "{name}: {once} devices got it once, {missed} missed it, {repeated} got it twice, {astray} were not meant"
            ));
        }
        if push.state != PushState::Finished || arrived != told.audience.len() as u64 || targets != arrived {
            verdict
                .trouble
                .push(format!("{name}: the server counts {arrived} of {targets} as arrived ({})", push.state));
        }
    }
    say("")?;
    if verdict.trouble.is_empty() {
        let messages = HumanCount(verdict.messages as u64);
        say(format_args!("every device got each of its messages exactly once: {messages} messages"))?;
    }
    verdict.trouble.iter().try_for_each(|trouble| say(format_args!("NOT AS IT SHOULD BE: {trouble}")))?;
    Ok(verdict)
}
