//! Import: devices by the chunk, scrambled or not, known or not, claimed by themselves later.

use pigeonloft_model::{AccountPush, Environment};
use pigeonloft_store::{AccountKey, Import, ImportRow, Imported, NewDevice, Registered};

use crate::support::{APP, Loft, new_device, token};

fn row(n: u8, account: Option<&str>) -> ImportRow {
    ImportRow {
        token: token(n),
        password_hash: None,
        account: account.map(|name| AccountKey { account_type: 0, name: name.into() }),
        channel: None,
        environment: None,
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
