//! The epilogue: lines to try next, while the demo goes on serving.

use std::time::Duration;

use indicatif::HumanCount;

use super::cast::Cast;
use super::fleet::Fleet;
use super::story::Verdict;
use crate::cli::failure::{Failure, say};
use crate::cli::progress;
use crate::net::Addresses;

/// Prints what to try. Every line can be pasted into a shell as it stands.
pub(super) fn print(addresses: &Addresses, cast: &Cast, verdict: &Verdict) -> Result<(), Failure> {
    let url = format!("http://{}", addresses.http);
    let app = &cast.app;
    let curl = format!("curl -sS -u {}:{}", app.access_id, app.secret_key);
    let (upload_id, push_id) = (verdict.upload_id, verdict.push_id);
    say("\nTry next, in another terminal (Ctrl-C here ends the demo):\n")?;
    say("# Upload an audience of your own: one account or token per row, as .txt, .csv or .zip")?;
    say(format_args!(
        "printf 'user0001@example.com\\nuser0002@example.com\\n' | {curl} -F 'file=@-;filename=mine.txt' \
         {url}/v3/push/package/upload\n"
    ))?;
    say("# Push to a package: put in the uploadId that was answered")?;
    say(format_args!(
        "{curl} {url}/v3/push/app -H 'Content-Type: application/json' -d '{{\"audience_type\":\
         \"package_account_push\",\"upload_id\":{upload_id},\"message_type\":\"notify\",\"message\":\
         {{\"title\":\"Hello\",\"content\":\"from curl\"}}}}'\n"
    ))?;
    say("# What became of a push: put in its push_id")?;
    say(format_args!("{curl} {url}/v1/pushes/{push_id}"))?;
    say(format_args!(
        "{curl} {url}/v3/statistics/get_push_task_stat_channel -H 'Content-Type: application/json' \
         -d '{{\"pushId\":\"{push_id}\"}}'\n"
    ))?;
    say("# Register a device")?;
    say(format_args!(
        "curl -sS -X POST -H 'AccessId: {}' -H 'AccessKey: {}' {url}/v1/devices\n",
        app.access_id, app.access_key
    ))?;
    if let Some(device) = cast.devices.last() {
        say(format_args!("# Be a device yourself: you take over that of {}", device.account))?;
        say(format_args!(
            "mosquitto_sub -h {} -p {} -i {} -u {} -P {} -q 1 -t push\n",
            addresses.mqtt.ip(),
            addresses.mqtt.port(),
            device.token,
            app.access_id,
            device.password
        ))?;
    }
    Ok(())
}

/// Shows how many messages arrive, for ever.
pub(super) async fn go_on(fleet: &mut Fleet) {
    let line = progress::line();
    let before = fleet.ledger().count();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let (online, arrived) = (fleet.online() as u64, fleet.ledger().count() - before);
        line.set_message(format!(
            "{} devices are online, {} messages arrived since",
            HumanCount(online),
            HumanCount(arrived)
        ));
    }
}
