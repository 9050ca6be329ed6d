//! Devices and their accounts: registered, claimed, bound, asked for both ways, and found for a push.

use pigeonloft_model::{AccountPush, DeviceId, Environment};
use pigeonloft_store::{AccountKey, Acknowledged, Bound, NewDevice, Registered, Resolved};

use crate::support::{APP, Loft, new_device, next_millisecond, token};

fn account(name: &str) -> AccountKey {
    AccountKey { account_type: 0, name: name.into() }
}

async fn bind(loft: &Loft, n: u8, accounts: &[AccountKey]) -> Vec<Bound> {
    loft.store.bind_accounts(APP, vec![(token(n).to_string(), accounts.to_vec())]).await.unwrap()
}

fn resolve(loft: &Loft, names: &[&str], which: AccountPush, environment: Option<Environment>) -> Resolved {
    let reader = loft.store.reader().unwrap();
    reader.resolve_accounts(APP, 0, names.iter().copied(), which, environment).unwrap()
}

#[tokio::test]
async fn a_token_is_registered_once() {
    let loft = Loft::open().await;
    let first = loft.store.register_device(new_device(APP, 1)).await.unwrap();
    let Registered::New(device) = first else { panic!("{first:?}") };
    let again = NewDevice { password_hash: [9; 32], ..new_device(APP, 1) };
    assert_eq!(loft.store.register_device(again).await.unwrap(), Registered::Taken);
    let kept = loft.store.device(APP, token(1)).await.unwrap().unwrap();
    assert_eq!((kept.device, kept.password_hash), (device, Some([1; 32])));
}

#[tokio::test]
async fn a_device_keeps_on_which_days_it_was_seen() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await;
    let behind = loft.behind_its_back();
    let seen_days_later = async |days: i64| {
        behind.execute("UPDATE device SET seen_at = seen_at - ?1", [days * 86_400_000]).unwrap();
        let reported = Acknowledged { seen: vec![device, DeviceId(9)], ..Acknowledged::default() };
        loft.store.acknowledge(reported).await.unwrap();
        behind.query_row("SELECT active_days FROM device", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(seen_days_later(0).await, 0b1, "registered and seen on one day");
    assert_eq!(seen_days_later(2).await, 0b101);
    assert_eq!(seen_days_later(1).await, 0b1011);
    assert_eq!(seen_days_later(62).await, 1 | 1 << 62, "what is longer ago is forgotten");
}

#[tokio::test]
async fn a_deleted_device_leaves_its_token_free_and_its_id_unused_for_ever() {
    let loft = Loft::open().await;
    let before = loft.device(APP, 1).await;
    bind(&loft, 1, &[account("ann")]).await;
    loft.store.delete_device(before).await.unwrap();
    let after = loft.device(APP, 1).await;
    assert!(after > before, "message ids are made of device ids");
    assert_eq!(resolve(&loft, &["ann"], AccountPush::All, None), Resolved { devices: vec![], no_device: 1 });
}

#[tokio::test]
async fn a_push_finds_the_latest_device_of_an_account_or_all() {
    let loft = Loft::open().await;
    let devices = loft.devices(3).await;
    for n in [2, 0, 1] {
        bind(&loft, n, &[account("ann")]).await;
        next_millisecond();
    }
    let latest = resolve(&loft, &["ann", "bob"], AccountPush::Latest, None);
    assert_eq!(latest, Resolved { devices: vec![devices[1]], no_device: 1 });
    let all = resolve(&loft, &["ann", "bob"], AccountPush::All, None);
    let mut found = all.devices;
    found.sort_unstable();
    assert_eq!((found, all.no_device), (devices.clone(), 1));
    // Bound once more, a device is the latest again.
    bind(&loft, 2, &[account("ann")]).await;
    assert_eq!(resolve(&loft, &["ann"], AccountPush::Latest, None).devices, [devices[2]]);
}

#[tokio::test]
async fn a_device_has_one_account_of_each_type_and_the_later_takes_the_place() {
    let loft = Loft::open().await;
    loft.devices(1).await;
    let phone = AccountKey { account_type: 1002, name: "+8613800000000".into() };
    assert_eq!(bind(&loft, 0, &[account("ann"), phone.clone()]).await, [Bound::Done]);
    assert_eq!(bind(&loft, 0, &[account("bob")]).await, [Bound::Done]);
    let found = loft.store.accounts_of_tokens(APP, vec![token(0).to_string()]).await.unwrap();
    assert_eq!(found, [(token(0).to_string(), Some(vec![account("bob"), phone]))]);
    let found = loft.store.tokens_of_accounts(APP, vec![account("ann"), account("bob")]).await.unwrap();
    assert_eq!(found, [(account("ann"), vec![]), (account("bob"), vec![token(0).to_string()])]);
}

#[tokio::test]
async fn an_unknown_token_does_not_fail_its_neighbours() {
    let loft = Loft::open().await;
    loft.devices(2).await;
    let elements = |names: [&str; 3]| {
        let tokens = [token(0), token(77), token(1)].map(|token| token.to_string());
        tokens.into_iter().zip(names).map(|(token, name)| (token, vec![account(name)])).collect::<Vec<_>>()
    };
    let results = [Bound::Done, Bound::UnknownToken, Bound::Done];
    assert_eq!(loft.store.bind_accounts(APP, elements(["ann", "bob", "cyd"])).await.unwrap(), results);
    assert_eq!(loft.store.unbind_accounts(APP, elements(["ann", "bob", "eve"])).await.unwrap(), results);
    let left = resolve(&loft, &["ann", "bob", "cyd", "eve"], AccountPush::All, None);
    assert_eq!((left.devices.len(), left.no_device), (1, 3));

    let tokens = vec![token(77).to_string(), token(1).to_string()];
    assert_eq!(loft.store.unbind_tokens(APP, tokens).await.unwrap(), [Bound::UnknownToken, Bound::Done]);
    assert_eq!(resolve(&loft, &["cyd"], AccountPush::All, None).devices, []);
}

#[tokio::test]
async fn an_account_is_taken_off_every_device_and_a_device_given_new_ones() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    for n in [0, 1] {
        bind(&loft, n, &[account("ann")]).await;
    }
    loft.store.unbind_everywhere(APP, vec![account("ann"), account("never bound")]).await.unwrap();
    assert_eq!(resolve(&loft, &["ann"], AccountPush::All, None).devices, []);
    let phone = AccountKey { account_type: 1002, name: "+8613800000000".into() };
    loft.store.set_accounts(APP, devices[0], vec![account("ann"), phone]).await.unwrap();
    loft.store.set_accounts(APP, devices[0], vec![account("bob")]).await.unwrap();
    let found = loft.store.accounts_of_tokens(APP, vec![token(0).to_string()]).await.unwrap();
    assert_eq!(found[0].1, Some(vec![account("bob")]));
}

#[tokio::test]
async fn a_push_to_one_of_apples_environments_leaves_the_other_out() {
    let loft = Loft::open().await;
    let mut devices: Vec<DeviceId> = Vec::new();
    for (n, environment) in [(0, None), (1, Some(Environment::Dev))] {
        let new = NewDevice { environment, ..new_device(APP, n) };
        let Registered::New(device) = loft.store.register_device(new).await.unwrap() else { panic!("taken") };
        devices.push(device);
        bind(&loft, n, &[account("ann")]).await;
    }
    let tokens = [token(0), token(1)];
    let reader = loft.store.reader().unwrap();
    for (environment, expected) in
        [(Some(Environment::Product), vec![devices[0]]), (Some(Environment::Dev), vec![devices[1]]), (None, devices)]
    {
        let no_device = 2 - expected.len() as u64;
        let found = reader.resolve_tokens(APP, tokens.iter().map(|token| token.as_str()), environment).unwrap();
        assert_eq!(found, Resolved { devices: expected.clone(), no_device });
        assert_eq!(resolve(&loft, &["ann"], AccountPush::All, environment).devices, expected);
    }
}
