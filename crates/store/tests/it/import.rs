//! Import: devices by the chunk, scrambled or not, known or not, claimed by themselves later.

use pigeonloft_model::{AccountPush, DeviceId, Environment, Tag, TagExpression, TagType};
use pigeonloft_store::{AccountKey, Import, ImportRow, Imported, NewDevice, Registered};

use crate::support::{APP, Loft, new_device, token};

fn row(n: u8, account: Option<&str>) -> ImportRow {
    ImportRow {
        token: token(n),
        password_hash: None,
        account: account.map(|name| AccountKey { account_type: 0, name: name.into() }),
        channel: None,
        environment: None,
        reported: Vec::new(),
        attributes: Vec::new(),
    }
}

#[tokio::test]
async fn scrambled_rows_are_imported_with_their_accounts() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let mut rows: Vec<_> = [7, 3, 9, 1].map(|n| row(n, Some(&format!("account {n}")))).into();
    rows.push(row(5, None));
    assert_eq!(import.chunk(&mut rows).unwrap(), Imported { new: 5, known: 0, bound: 4 });
    import.finish().unwrap();

    let reader = loft.store.reader().unwrap();
    for n in [1, 3, 7, 9] {
        let by_token = reader.resolve_tokens(APP, [token(n).as_str()].into_iter(), None).unwrap();
        let name = format!("account {n}");
        let by_account =
            reader.resolve_accounts(APP, 0, [name.as_str()].into_iter(), AccountPush::Latest, None).unwrap();
        assert_eq!((by_token.devices.len(), by_token), (1, by_account));
    }
}

#[tokio::test]
async fn a_known_device_is_brought_up_to_date_and_keeps_its_id_and_password() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let changed = ImportRow { environment: Some(Environment::Dev), ..row(1, Some("ann")) };
    let with_a_password = ImportRow { password_hash: Some([8; 32]), ..row(2, None) };
    let imported = import.chunk(&mut [changed, with_a_password, row(2, Some("bob"))]).unwrap();
    assert_eq!(imported, Imported { new: 1, known: 2, bound: 2 });

    let known = loft.store.device(APP, token(1)).await.unwrap().unwrap();
    assert_eq!((known.device, known.password_hash), (device, Some([1; 32])));
    let reader = loft.store.reader().unwrap();
    let dev = Some(Environment::Dev);
    assert_eq!(reader.resolve_tokens(APP, [token(1).as_str()].into_iter(), dev).unwrap().devices, [device]);
    import.chunk(&mut [row(1, None)]).unwrap();
    let still = reader.resolve_tokens(APP, [token(1).as_str()].into_iter(), dev).unwrap().devices;
    assert_eq!(still, [device], "a row that says nothing of the environment changes nothing");
    assert_eq!(loft.store.device(APP, token(2)).await.unwrap().unwrap().password_hash, Some([8; 32]));
}

#[tokio::test]
async fn an_imported_device_is_claimed_once_and_keeps_what_it_does_not_say() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    import.chunk(&mut [ImportRow { environment: Some(Environment::Dev), ..row(1, Some("ann")) }]).unwrap();
    let imported = loft.store.device(APP, token(1)).await.unwrap().unwrap();
    assert_eq!(imported.password_hash, None);

    let claim = loft.store.register_device(new_device(APP, 1)).await.unwrap();
    assert_eq!(claim, Registered::Claimed(imported.device));
    let second = NewDevice { password_hash: [9; 32], ..new_device(APP, 1) };
    assert_eq!(loft.store.register_device(second).await.unwrap(), Registered::Taken);
    assert_eq!(loft.store.device(APP, token(1)).await.unwrap().unwrap().password_hash, Some([1; 32]));
    let reader = loft.store.reader().unwrap();
    let found =
        reader.resolve_accounts(APP, 0, ["ann"].into_iter(), AccountPush::Latest, Some(Environment::Dev)).unwrap();
    assert_eq!(found.devices, [imported.device]);
}

/// What each of these devices is bound to by type 0, asked by device and by name; the two must agree.
async fn bound(loft: &Loft, devices: &[u8], names: &[&str]) -> Vec<Vec<String>> {
    let tokens: Vec<_> = devices.iter().map(|&n| token(n).to_string()).collect();
    let by_device = loft.store.accounts_of_tokens(APP, tokens.clone()).await.unwrap();
    let by_device: Vec<Vec<String>> = by_device
        .into_iter()
        .map(|(_, accounts)| {
            accounts
                .unwrap()
                .into_iter()
                .filter(|account| account.account_type == 0)
                .map(|account| account.name)
                .collect()
        })
        .collect();
    let accounts = names.iter().map(|&name| AccountKey { account_type: 0, name: name.into() }).collect();
    let by_name = loft.store.tokens_of_accounts(APP, accounts).await.unwrap();
    for (token, names) in tokens.iter().zip(&by_device) {
        let mut of_it = Vec::new();
        for (account, tokens) in &by_name {
            of_it.extend(tokens.iter().filter(|other| *other == token).map(|_| account.name.clone()));
        }
        assert_eq!(&of_it, names);
    }
    by_device
}

#[tokio::test]
async fn an_import_that_ends_between_its_halves_has_bound_nothing_and_can_be_repeated() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    import.chunk(&mut [row(1, Some("ann")), row(2, None)]).unwrap();
    let mut rows = [row(3, Some("cyd")), row(1, Some("anna")), row(2, Some("bob")), row(4, Some("dan"))];
    let (imported, bindings) = import.devices(&mut rows).unwrap();
    assert_eq!((imported, bindings.len()), (Imported { new: 2, known: 2, bound: 0 }, 4));
    drop(import);
    let names = ["ann", "anna", "bob", "cyd", "dan"];
    assert_eq!(bound(&loft, &[1, 2, 3, 4], &names).await, [[""; 0]; 4]);

    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let (imported, mut bindings) = import.devices(&mut rows).unwrap();
    assert_eq!(imported, Imported { new: 0, known: 4, bound: 0 });
    assert_eq!(import.accounts(&mut bindings).unwrap(), 4);
    import.finish().unwrap();
    assert_eq!(bound(&loft, &[1, 2, 3, 4], &names).await, [["anna"], ["bob"], ["cyd"], ["dan"]]);
}

#[tokio::test]
async fn what_the_server_writes_between_the_halves_of_an_import_stands() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let mut rows = [1, 2, 3, 4, 5].map(|n| row(n, Some("ann")));
    let (_, mut bindings) = import.devices(&mut rows).unwrap();
    let account = |name: &str| vec![AccountKey { account_type: 0, name: name.into() }];
    loft.store.bind_accounts(APP, vec![(token(1).to_string(), account("bob"))]).await.unwrap();
    loft.store.unbind_tokens(APP, vec![token(2).to_string()]).await.unwrap();
    loft.store.bind_accounts(APP, vec![(token(3).to_string(), account("ann"))]).await.unwrap();
    let deleted = loft.store.device(APP, token(4)).await.unwrap().unwrap().device;
    loft.store.delete_device(deleted).await.unwrap();
    assert_eq!(import.accounts(&mut bindings).unwrap(), 2, "of the third, which is bound already, and of the fifth");
    import.finish().unwrap();
    assert_eq!(bound(&loft, &[1, 2, 3, 5], &["ann", "bob"]).await, [vec!["bob"], vec![], vec!["ann"], vec!["ann"]]);
    let found = loft.store.reader().unwrap();
    let found = found.resolve_accounts(APP, 0, ["ann"].into_iter(), AccountPush::All, None).unwrap();
    assert_eq!(found.devices.len(), 2, "a deleted device is nobody's");
}

#[tokio::test]
async fn of_several_rows_of_a_device_the_last_says_what_it_is_bound_to() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let dev = ImportRow { environment: Some(Environment::Dev), ..row(1, Some("bob")) };
    let phone =
        ImportRow { account: Some(AccountKey { account_type: 1002, name: "+8613800000000".into() }), ..row(1, None) };
    let imported = import.chunk(&mut [row(1, Some("zoe")), phone, dev, row(1, Some("ann"))]).unwrap();
    assert_eq!(imported, Imported { new: 1, known: 3, bound: 2 });
    assert_eq!(bound(&loft, &[1], &["ann", "bob", "zoe"]).await, [["ann"]]);
    // The same across chunks, whose bindings are all bound at the end.
    let (_, mut bindings) = import.devices(&mut [row(1, Some("bob")), row(2, Some("ann"))]).unwrap();
    let (_, more) = import.devices(&mut [row(2, Some("zoe")), row(3, Some("eve"))]).unwrap();
    bindings.extend(more);
    assert_eq!(import.accounts(&mut bindings).unwrap(), 3);
    let names = ["ann", "bob", "eve", "zoe"];
    assert_eq!(bound(&loft, &[2, 3], &names).await, [["zoe"], ["eve"]]);
    let reader = loft.store.reader().unwrap();
    let in_dev = reader.resolve_accounts(APP, 0, names.into_iter(), AccountPush::All, Some(Environment::Dev)).unwrap();
    assert_eq!((in_dev.devices.len(), in_dev.no_device), (1, 3), "the environment is the one said last");
}

#[tokio::test]
async fn more_rows_than_one_statement_takes_are_all_imported() {
    let loft = Loft::open().await;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    for (first, count) in [(0, 1), (1, 99), (100, 155)] {
        let mut rows: Vec<_> = (first..first + count).map(|n| row(n, Some(&format!("account {n}")))).collect();
        rows.reverse();
        let imported = import.chunk(&mut rows).unwrap();
        assert_eq!(imported, Imported { new: count.into(), known: 0, bound: count.into() });
    }
    let names: Vec<_> = (0..255).map(|n| format!("account {n}")).collect();
    let reader = loft.store.reader().unwrap();
    for (n, name) in (0..255).zip(&names) {
        let by_name = reader.resolve_accounts(APP, 0, [name.as_str()].into_iter(), AccountPush::All, None).unwrap();
        let by_token = reader.resolve_tokens(APP, [token(n).as_str()].into_iter(), None).unwrap();
        assert_eq!((by_name.devices.len(), by_name), (1, by_token));
    }
}

/// The devices that have a tag.
fn tagged(loft: &Loft, kind: TagType, name: &str) -> Vec<DeviceId> {
    let reader = loft.store.reader().unwrap();
    let expression = TagExpression::Tag(Tag { kind, name: name.into() });
    let choice = reader.choice(APP, Some(&expression), None, i64::MIN).unwrap();
    reader.choose(&choice, 0..1_000).unwrap()
}

#[tokio::test]
async fn what_devices_report_becomes_their_tags_and_is_brought_up_to_date() {
    let loft = Loft::open().await;
    let reports = |n: u8, reported: &[(TagType, &str)]| ImportRow {
        reported: reported.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect(),
        ..row(n, None)
    };
    let version = TagType::AppVersion;
    let mut import = Import::begin(loft.dir.path(), APP).unwrap();
    let cn = (TagType::Country, "CN");
    // Of two rows of a device the last that says anything counts.
    import
        .chunk(&mut [
            reports(1, &[(version, "1.0"), cn]),
            reports(2, &[(version, "2.0")]),
            reports(3, &[(version, "1.0")]),
            reports(3, &[(version, "1.5"), cn]),
            reports(3, &[]),
        ])
        .unwrap();
    let ids = |numbers: &[u8]| {
        let tokens = numbers.iter().map(|n| token(*n)).collect::<Vec<_>>();
        let tokens = tokens.iter().map(|token| token.as_str());
        loft.store.reader().unwrap().resolve_tokens(APP, tokens, None).unwrap().devices
    };
    assert_eq!(tagged(&loft, version, "1.0"), ids(&[1]));
    assert_eq!(tagged(&loft, version, "1.5"), ids(&[3]));
    assert_eq!(tagged(&loft, TagType::Country, "CN"), ids(&[1, 3]));
    // The only device of a version leaves it, and a new one comes to it, in one chunk.
    import.chunk(&mut [reports(1, &[(version, "2.0")]), reports(4, &[(version, "1.0")])]).unwrap();
    import.finish().unwrap();
    assert_eq!(tagged(&loft, version, "1.0"), ids(&[4]));
    assert_eq!(tagged(&loft, version, "2.0"), ids(&[1, 2]));
    assert_eq!(tagged(&loft, TagType::Country, "CN"), ids(&[1, 3]), "what is not said stays");
}

#[tokio::test]
async fn attributes_come_with_their_device_and_what_is_not_said_stays() {
    let loft = Loft::open().await;
    let names = ["city", "nickname"].map(str::to_owned);
    loft.store.declare_attributes(APP, names.to_vec()).await.unwrap();
    let known = loft.device(APP, 1).await;
    let given = [("city", "Wuxi"), ("nickname", "Ming")].map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    loft.store.set_attributes(APP, token(1), given.into()).await.unwrap();
    let with = |n, attributes: &[(usize, &str)]| ImportRow {
        attributes: attributes.iter().map(|&(nth, value)| (nth, value.to_owned())).collect(),
        ..row(n, None)
    };
    // "taken back" is a name that the app has not declared any more.
    let mut import = Import::begin(loft.dir.path(), APP).unwrap().with_attributes(["nickname", "taken back", "city"]);
    let mut rows = [
        with(3, &[(2, "Xi'an")]),
        with(1, &[(0, "Li"), (1, "x")]),
        with(2, &[]),
        with(3, &[(0, "a")]),
        with(3, &[(0, "b")]),
    ];
    assert_eq!(import.chunk(&mut rows).unwrap(), Imported { new: 2, known: 3, bound: 0 });
    import.finish().unwrap();
    let mut held = Vec::new();
    for n in [1, 2, 3] {
        held.push(loft.store.attributes(APP, token(n)).await.unwrap().unwrap());
    }
    let pairs =
        |city: &str, nickname: &str| vec![("city".to_owned(), city.to_owned()), ("nickname".into(), nickname.into())];
    assert_eq!(held, [pairs("Wuxi", "Li"), vec![], pairs("Xi'an", "b")]);
    assert_eq!(loft.store.device(APP, token(1)).await.unwrap().unwrap().device, known);
}
