//! Packages and the pushes that read them; and pushes asked for by what they were.

use pigeonloft_model::{AudienceKind, Day, DayFormat, Days, MessageType, PushId, UploadId};
use pigeonloft_store::{Accepted, NewPush, PushFilter, Removed};

use crate::support::{APP, EVER, FAR_AHEAD, Loft, accepted, new_package, new_push, next_millisecond, package_push};

#[tokio::test]
async fn a_package_that_was_answered_is_there_after_a_restart() {
    let loft = Loft::open().await;
    let upload_id = loft.store.add_package(new_package(APP, "kept")).await.unwrap();
    let loft = loft.reopened();
    let package = loft.store.package(APP, upload_id).await.unwrap().unwrap();
    assert_eq!((package.details.stored_as.as_str(), package.details.rows), ("kept", 3));
    assert!(loft.store.is_stored("kept".into()).await.unwrap());
    assert!(!loft.store.is_stored("other".into()).await.unwrap());
}

#[tokio::test]
async fn a_package_is_kept_as_long_as_a_push_reads_it() {
    let loft = Loft::open().await;
    let upload_id = loft.store.add_package(new_package(APP, "read")).await.unwrap();
    let push_id =
        accepted(loft.store.add_pushes(vec![package_push(APP, upload_id)], |_, _| String::new()).await.unwrap());
    let started = loft.store.start_push(push_id).await.unwrap().unwrap();
    assert_eq!(started.stored_as.as_deref(), Some("read"));

    assert_eq!(loft.store.remove_package(APP, upload_id).await.unwrap(), Removed::InUse);
    assert_eq!(loft.store.remove_unused_packages(i64::MAX).await.unwrap(), Vec::<String>::new());
    loft.store.finish_push(push_id, None).await.unwrap();
    assert_eq!(loft.store.remove_package(APP, upload_id).await.unwrap(), Removed::Done("read".into()));
    assert_eq!(loft.store.remove_package(APP, upload_id).await.unwrap(), Removed::Unknown);
    assert_eq!(
        loft.store.add_pushes(vec![package_push(APP, upload_id)], |_, _| String::new()).await.unwrap(),
        Accepted::NoPackage
    );
}

#[tokio::test]
async fn an_unused_package_goes_and_an_id_is_never_given_twice() {
    let loft = Loft::open().await;
    let unused = loft.store.add_package(new_package(APP, "unused")).await.unwrap();
    let used = loft.store.add_package(new_package(APP, "used")).await.unwrap();
    let created_at = loft.store.package(APP, used).await.unwrap().unwrap().created_at;
    next_millisecond();
    let push_id = accepted(loft.store.add_pushes(vec![package_push(APP, used)], |_, _| String::new()).await.unwrap());
    loft.store.finish_push(push_id, None).await.unwrap();
    let last_used_at = loft.store.package(APP, used).await.unwrap().unwrap().last_used_at;
    assert!(last_used_at > created_at);
    assert_eq!(loft.store.remove_unused_packages(last_used_at).await.unwrap(), ["unused"]);
    assert!(loft.store.package(APP, unused).await.unwrap().is_none());

    loft.store.remove_package(APP, used).await.unwrap();
    let next = loft.store.add_package(new_package(APP, "next")).await.unwrap();
    assert_eq!(next, UploadId(used.0 + 1));
}

#[tokio::test]
async fn packages_are_listed_a_page_at_a_time_latest_first() {
    let loft = Loft::open().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(loft.store.add_package(new_package(APP, &format!("package {n}"))).await.unwrap());
    }
    ids.reverse();
    let page = async |before| {
        let packages = loft.store.packages(APP, before, 2).await.unwrap();
        packages.into_iter().map(|package| package.upload_id).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, ids[..2]);
    assert_eq!(page(Some(ids[1])).await, ids[2..4]);
    assert_eq!(page(Some(ids[3])).await, ids[4..]);
    assert_eq!(page(Some(ids[4])).await, []);
}

#[tokio::test]
async fn pushes_are_found_by_day_type_and_audience_a_page_at_a_time() {
    let loft = Loft::open().await;
    let mut ids = Vec::new();
    for (day, audience, message_type) in [
        (8, AudienceKind::TokenList, MessageType::Notify),
        (9, AudienceKind::Account, MessageType::Message),
        (9, AudienceKind::Account, MessageType::Notify),
        // A loop's occurrence of an earlier day may have a later id.
        (7, AudienceKind::Account, MessageType::Notify),
    ] {
        let new = NewPush { day: Day(day), audience, message_type, ..new_push(APP, 1, FAR_AHEAD) };
        ids.push(accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap()));
    }
    let days = |first, last| Days { first: Day(first), last: Day(last), format: DayFormat::Dashed };
    let any = PushFilter { days: EVER, message_type: None, audience: None };
    let found = async |filter, offset, limit| -> (Vec<PushId>, u64) {
        let (pushes, count) = loft.store.pushes(APP, filter, offset, limit).await.unwrap();
        (pushes.into_iter().map(|push| push.push_id).collect(), count)
    };
    assert_eq!(found(any, 0, 9).await, (vec![ids[2], ids[1], ids[0], ids[3]], 4));
    assert_eq!(found(any, 0, 1).await, (vec![ids[2]], 4));
    assert_eq!(found(any, 1, 2).await, (vec![ids[1], ids[0]], 4));
    assert_eq!(found(any, 3, 2).await, (vec![ids[3]], 4));
    assert_eq!(found(any, 4, 2).await, (vec![], 4));
    assert_eq!(found(PushFilter { days: days(7, 8), ..any }, 0, 9).await, (vec![ids[0], ids[3]], 2));
    assert_eq!(found(PushFilter { days: days(10, 12), ..any }, 0, 9).await, (vec![], 0));
    let notify = PushFilter { message_type: Some(MessageType::Notify), ..any };
    assert_eq!(found(notify, 0, 9).await, (vec![ids[2], ids[0], ids[3]], 3));
    let account = PushFilter { audience: Some(AudienceKind::Account), ..notify };
    assert_eq!(found(account, 1, 9).await, (vec![ids[3]], 2));
}
