//! Apart: data of two apps never meets, even where both have the same tokens, accounts and ids.

use pigeonloft_model::{AccessId, AccountPush};
use pigeonloft_store::{Accepted, AccountKey, Bound, PushFilter, Removed};

use crate::support::{APP, EVER, FAR_AHEAD, Loft, accepted, app, new_package, new_push, package_push, token};

const OTHER: AccessId = AccessId(1_500_000_002);

fn ann() -> AccountKey {
    AccountKey { account_type: 0, name: "ann".into() }
}

#[tokio::test]
async fn the_same_token_and_account_in_two_apps_are_two_devices() {
    let loft = Loft::open().await;
    loft.store.add_app(app(OTHER)).await.unwrap();
    let (ours, theirs) = (loft.device(APP, 1).await, loft.device(OTHER, 1).await);
    assert_ne!(ours, theirs);
    let element = || vec![(token(1).to_string(), vec![ann()])];
    assert_eq!(loft.store.bind_accounts(APP, element()).await.unwrap(), [Bound::Done]);

    let reader = loft.store.reader().unwrap();
    let text = token(1).to_string();
    for (access_id, device, bound) in [(APP, ours, vec![ours]), (OTHER, theirs, vec![])] {
        let found = reader.resolve_tokens(access_id, [text.as_str()].into_iter(), None).unwrap();
        assert_eq!(found.devices, [device]);
        let found = reader.resolve_accounts(access_id, 0, ["ann"].into_iter(), AccountPush::All, None).unwrap();
        assert_eq!(found.devices, bound);
    }
    let found = loft.store.tokens_of_accounts(OTHER, vec![ann()]).await.unwrap();
    assert_eq!(found, [(ann(), vec![])]);

    // Neither unbinding nor deleting in one app touches the other.
    loft.store.bind_accounts(OTHER, element()).await.unwrap();
    loft.store.unbind_everywhere(OTHER, vec![ann()]).await.unwrap();
    loft.store.delete_device(theirs).await.unwrap();
    assert_eq!(loft.store.unknown_tokens(APP, vec![text.clone()]).await.unwrap(), Vec::<String>::new());
    assert_eq!(loft.store.unknown_tokens(OTHER, vec![text.clone()]).await.unwrap(), std::slice::from_ref(&text));
    let found = loft.store.accounts_of_tokens(APP, vec![text.clone()]).await.unwrap();
    assert_eq!(found, [(text, Some(vec![ann()]))]);
}

#[tokio::test]
async fn a_package_is_only_there_for_the_app_that_uploaded_it() {
    let loft = Loft::open().await;
    loft.store.add_app(app(OTHER)).await.unwrap();
    let upload_id = loft.store.add_package(new_package(APP, "ours")).await.unwrap();
    assert!(loft.store.package(APP, upload_id).await.unwrap().is_some());
    assert!(loft.store.package(OTHER, upload_id).await.unwrap().is_none());
    assert!(loft.store.packages(OTHER, None, 10).await.unwrap().is_empty());
    assert_eq!(
        loft.store.add_pushes(vec![package_push(OTHER, upload_id)], |_, _| String::new()).await.unwrap(),
        Accepted::NoPackage
    );
    assert_eq!(loft.store.remove_package(OTHER, upload_id).await.unwrap(), Removed::Unknown);
    assert_eq!(loft.store.remove_package(APP, upload_id).await.unwrap(), Removed::Done("ours".into()));
}

#[tokio::test]
async fn a_push_is_only_there_for_the_app_that_made_it() {
    let loft = Loft::open().await;
    loft.store.add_app(app(OTHER)).await.unwrap();
    let push_id = loft.push(1, FAR_AHEAD).await;
    let theirs =
        accepted(loft.store.add_pushes(vec![new_push(OTHER, 1, FAR_AHEAD)], |_, _| String::new()).await.unwrap());
    assert!(loft.store.push(OTHER, push_id).await.unwrap().is_none());
    assert!(loft.store.push(APP, theirs).await.unwrap().is_none());
    let all = PushFilter { days: EVER, message_type: None, audience: None };
    let (pushes, count) = loft.store.pushes(OTHER, all, 0, 10).await.unwrap();
    assert_eq!((pushes.len(), pushes[0].push_id, count), (1, theirs, 1));
}
