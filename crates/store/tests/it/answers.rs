//! Answers of calls that can be repeated: kept with what the call made, and forgotten in time.

use pigeonloft_model::AccessId;
use pigeonloft_store::{Accepted, AnswerKey, Asked, Once, Repeatable};
use rusqlite::Connection;

use crate::support::{APP, FAR_AHEAD, Loft, app, new_package, new_push};

const OTHER: AccessId = AccessId(1_500_000_002);

fn asked(key: &str) -> Asked {
    let key = AnswerKey { access_id: APP, call: Repeatable::Upload, key: key.into(), not_before: 0 };
    Asked { key, what: [7; 32] }
}

fn packages(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM package", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_key_is_taken_once_by_an_app_and_a_call() {
    let loft = Loft::open().await;
    let add = async |stored_as: &str, asked: Asked| {
        let new = new_package(asked.key.access_id, stored_as);
        loft.store.add_package_once(new, asked, |id| format!("answered {id}")).await.unwrap()
    };
    let Once::Now(first) = add("a", asked("k")).await else { panic!("it is new") };
    let Once::Before(kept) = add("b", Asked { what: [8; 32], ..asked("k") }).await else { panic!("it is known") };
    assert_eq!((kept.answer, kept.what), (format!("answered {first}"), [7; 32]), "as the first one was");
    assert_eq!(packages(&loft.behind_its_back()), 1);

    loft.store.add_app(app(OTHER)).await.unwrap();
    let of_other = Asked { key: AnswerKey { access_id: OTHER, ..asked("k").key }, ..asked("k") };
    assert!(matches!(add("c", of_other).await, Once::Now(_)));
    let pushed = Asked { key: AnswerKey { call: Repeatable::Push, ..asked("k").key }, ..asked("k") };
    let new = vec![new_push(APP, 1, FAR_AHEAD)];
    let pushed = loft.store.add_pushes_once(new, |_, _| String::new(), pushed, |ids| ids[0].to_string()).await;
    assert!(matches!(pushed.unwrap(), Once::Now(Accepted::Pushes(_))));
}

#[tokio::test]
async fn what_fails_leaves_its_key_free() {
    let loft = Loft::open().await;
    let add = async |stored_as: &str| {
        loft.store.add_package_once(new_package(APP, stored_as), asked("k"), |_| "kept".into()).await
    };
    let _ = loft.store.add_package(new_package(APP, "taken")).await.unwrap();
    assert!(add("taken").await.is_err(), "two packages cannot have one file");
    assert_eq!(loft.store.kept_answer(asked("k").key).await.unwrap(), None);
    assert!(matches!(add("free").await.unwrap(), Once::Now(_)));
}

#[tokio::test]
async fn old_answers_are_forgotten_oldest_first_and_a_few_at_a_time() {
    let loft = Loft::open().await;
    for n in 0..5 {
        let added =
            loft.store.add_package_once(new_package(APP, &n.to_string()), asked(&n.to_string()), |_| "k".into());
        assert!(matches!(added.await.unwrap(), Once::Now(_)));
        let given = "UPDATE kept_answer SET given_at = 100 - CAST(key AS INTEGER) WHERE given_at > 100";
        loft.behind_its_back().execute(given, []).unwrap();
    }
    let left = async || {
        let mut left = Vec::new();
        for n in 0..5 {
            left.extend(loft.store.kept_answer(asked(&n.to_string()).key).await.unwrap().map(|_| n));
        }
        left
    };
    let too_old = AnswerKey { not_before: 97, ..asked("4").key };
    assert_eq!(loft.store.kept_answer(too_old).await.unwrap(), None, "it is there, and too old");
    assert_eq!(loft.store.forget_answers(100, 3).await.unwrap(), 3);
    assert_eq!(left().await, [0, 1]);
    assert_eq!(loft.store.forget_answers(100, 3).await.unwrap(), 1);
    assert_eq!((left().await, loft.store.forget_answers(100, 3).await.unwrap()), (vec![0], 0));
}
