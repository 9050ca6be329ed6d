//! The log's room: made once, never in the way of what the log holds.

use std::fs;
use std::path::PathBuf;

use pigeonloft_store::{DATABASE_FILE, Store};

use crate::support::{APP, Loft, token};

/// The files of an open database, as a power cut would leave them, in a folder of their own.
fn cut_off(loft: &Loft) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    for name in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal")] {
        fs::copy(loft.dir.path().join(&name), left.path().join(&name)).unwrap();
    }
    left
}

fn log_of(loft: &Loft) -> PathBuf {
    loft.dir.path().join(format!("{DATABASE_FILE}-wal"))
}

fn log_bytes(loft: &Loft) -> u64 {
    log_of(loft).metadata().unwrap().len()
}

#[tokio::test]
async fn writes_go_into_the_room_of_the_log_and_survive_a_power_cut() {
    let loft = Loft::open().await;
    loft.store.lengthen_log().unwrap();
    let before = log_bytes(&loft);
    loft.devices(200).await;
    assert_eq!(log_bytes(&loft), before, "200 commits made the log longer");

    let left = cut_off(&loft);
    let store = Store::open(left.path()).unwrap();
    // What the cut left in the log is kept where the log is lengthened again.
    store.lengthen_log().unwrap();
    for n in 0..200 {
        assert!(store.device(APP, token(n)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_log_that_is_long_enough_stays_as_it_is() {
    let loft = Loft::open().await;
    loft.store.lengthen_log().unwrap();
    loft.device(APP, 1).await;
    let (bytes, content) = (log_bytes(&loft), fs::read(log_of(&loft)).unwrap());
    loft.store.lengthen_log().unwrap();
    assert_eq!(log_bytes(&loft), bytes);
    assert!(fs::read(log_of(&loft)).unwrap() == content);
}
