//! The writer: writes are committed in groups, in order, and each stands or falls alone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use pigeonloft_store::{Error, Store, Tx, Written};

use crate::support::{APP, Loft, app};

const ADD: &str = "INSERT INTO device_channel (device_id, channel, channel_token) VALUES (?1, ?2, ?3)";

async fn queue<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(Tx<'_>) -> pigeonloft_store::Result<T> + Send + 'static,
) -> Written<T> {
    store.permit().await.unwrap().write(work)
}

/// Keeps the writer busy until told to go on, so that what is queued meanwhile becomes one group.
async fn hold(store: &Store) -> (mpsc::Sender<()>, Written<()>) {
    let (go_on, held) = mpsc::channel();
    let written = queue(store, move |_| held.recv().map_err(|_| Error::Closed)).await;
    (go_on, written)
}

fn channels(loft: &Loft) -> Vec<String> {
    let connection = loft.behind_its_back();
    let mut statement = connection.prepare("SELECT channel FROM device_channel ORDER BY channel").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_write_that_fails_takes_nothing_of_its_group_with_it() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await.0;
    let (go_on, held) = hold(&loft.store).await;
    let add = |channel: &'static str| move |tx: Tx<'_>| Ok(tx.execute(ADD, (device, channel, "t"))?);
    let before = queue(&loft.store, add("before")).await;
    let gives_up = queue(&loft.store, move |tx| {
        tx.execute(ADD, (device, "gives up", "t"))?;
        Err::<(), _>(Error::AppExists(APP))
    });
    let gives_up = gives_up.await;
    let violates = queue(&loft.store, move |tx| {
        tx.execute(ADD, (device, "violates", "t"))?;
        // No such device.
        Ok(tx.execute(ADD, (device + 1, "violates", "t"))?)
    });
    let violates = violates.await;
    let after = queue(&loft.store, add("after")).await;
    go_on.send(()).unwrap();

    held.await.unwrap();
    assert_eq!(before.await.unwrap(), 1);
    assert!(matches!(gives_up.await, Err(Error::AppExists(APP))));
    assert!(matches!(violates.await, Err(Error::Database(_))));
    assert_eq!(after.await.unwrap(), 1);
    assert_eq!(channels(&loft), ["after", "before"]);
}

#[tokio::test]
async fn a_write_sees_every_earlier_one_of_its_group() {
    let loft = Loft::open().await;
    let (go_on, held) = hold(&loft.store).await;
    let mut queued = Vec::new();
    for expected in 1..=20i64 {
        let one = move |tx: Tx<'_>| {
            tx.execute("UPDATE app SET created_at = iif(?1 = 1, 0, created_at) + 1", [expected])?;
            Ok(tx.query_row("SELECT created_at FROM app", [], |row| row.get::<_, i64>(0))?)
        };
        queued.push(queue(&loft.store, one).await);
    }
    go_on.send(()).unwrap();
    held.await.unwrap();
    for (written, expected) in queued.into_iter().zip(1..) {
        assert_eq!(written.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_write_whose_caller_no_longer_waits_is_kept_all_the_same() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await.0;
    let (go_on, held) = hold(&loft.store).await;
    drop(queue(&loft.store, move |tx| Ok(tx.execute(ADD, (device, "dropped", "t"))?)).await);
    let last = queue(&loft.store, |_| Ok(())).await;
    go_on.send(()).unwrap();
    held.await.unwrap();
    last.await.unwrap();
    assert_eq!(channels(&loft), ["dropped"]);
}

#[tokio::test]
async fn a_write_that_panics_fails_alone_and_the_writer_goes_on() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await.0;
    let (go_on, held) = hold(&loft.store).await;
    let add = |channel: &'static str| move |tx: Tx<'_>| Ok(tx.execute(ADD, (device, channel, "t"))?);
    let before = queue(&loft.store, add("before")).await;
    let panics = queue(&loft.store, move |tx: Tx<'_>| -> pigeonloft_store::Result<()> {
        let mut reading = tx.prepare_cached("SELECT access_id FROM app")?;
        let _row = reading.query([])?.next()?.map(|row| row.get::<_, i64>(0));
        tx.execute(ADD, (device, "panics", "t"))?;
        panic!("a fault of the program");
    });
    let panics = panics.await;
    let after = queue(&loft.store, add("after")).await;
    go_on.send(()).unwrap();

    held.await.unwrap();
    before.await.unwrap();
    assert!(matches!(panics.await, Err(Error::Panicked)));
    after.await.unwrap();
    assert_eq!(channels(&loft), ["after", "before"]);
}

#[tokio::test]
async fn a_full_disk_is_told_to_every_write_of_the_group_and_passes() {
    let loft = Loft::open().await;
    let device = loft.device(APP, 1).await.0;
    let (go_on, held) = hold(&loft.store).await;
    let add = |channel: &'static str| move |tx: Tx<'_>| Ok(tx.execute(ADD, (device, channel, "t"))?);
    let neighbour = queue(&loft.store, add("neighbour")).await;
    let too_much = queue(&loft.store, move |tx| {
        // As if the disk had not a page left.
        tx.query_row("PRAGMA max_page_count = 1", [], |_| Ok(()))?;
        Ok(tx.execute(ADD, (device, "too much", "t".repeat(100_000)))?)
    });
    let too_much = too_much.await;
    go_on.send(()).unwrap();

    for failed in [held.await.err(), neighbour.await.err(), too_much.await.err()] {
        assert!(matches!(&failed, Some(full @ Error::Full) if full.may_pass()), "{failed:?}");
    }
    assert_eq!(channels(&loft), Vec::<String>::new());
    let make_room = |tx: Tx<'_>| Ok(tx.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))?);
    loft.store.write(make_room).await.unwrap();
    loft.store.write(add("neighbour")).await.unwrap();
    assert_eq!(channels(&loft), ["neighbour"]);
}

/// Lets a call queue its write, and go on waiting for it.
async fn queued<T>(call: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    let mut call = Box::pin(call);
    let waits = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
    assert!(waits, "there is room in the queue, and the writer is held");
    call
}

/// Notes in which order writes are run.
#[derive(Default, Clone)]
struct Order(Arc<Mutex<Vec<String>>>);

impl Order {
    fn note(&self, what: impl Into<String>) -> impl FnOnce(Tx<'_>) -> pigeonloft_store::Result<()> + Send + 'static {
        let (order, what) = (self.0.clone(), what.into());
        move |_| {
            order.lock().unwrap().push(what);
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_what_is_queued_in_bulk() {
    let loft = Loft::open().await;
    let (go_on, held) = hold(&loft.store).await;
    let order = Order::default();
    let first = queue(&loft.store, order.note("bulk 1")).await;
    let second = queue(&loft.store, order.note("bulk 2")).await;
    let call = queued(loft.store.write(order.note("call"))).await;
    go_on.send(()).unwrap();
    held.await.unwrap();
    call.await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(*order.0.lock().unwrap(), ["call", "bulk 1", "bulk 2"]);
}

#[tokio::test]
async fn what_is_in_bulk_waits_for_one_group_of_calls_however_many_there_are() {
    let loft = Loft::open().await;
    let (go_on, held) = hold(&loft.store).await;
    let order = Order::default();
    let bulk = queue(&loft.store, order.note("bulk")).await;
    let mut calls = Vec::new();
    for call in 0..1_000 {
        calls.push(queued(loft.store.write(order.note(call.to_string()))).await);
    }
    go_on.send(()).unwrap();
    held.await.unwrap();
    bulk.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    let order = order.0.lock().unwrap();
    let place = order.iter().position(|what| what == "bulk").unwrap();
    assert!(place <= 512, "{place} calls came before it");
    let calls = order.iter().filter(|what| *what != "bulk").map(|what| what.parse::<usize>().unwrap());
    assert!(calls.eq(0..1_000), "calls keep their order");
}

#[tokio::test]
async fn an_app_is_added_once() {
    let loft = Loft::open().await;
    assert!(matches!(loft.store.add_app(app(APP)).await, Err(Error::AppExists(APP))));
    assert_eq!(loft.store.apps().await.unwrap(), [app(APP)]);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_left_alone() {
    let loft = Loft::open().await;
    loft.behind_its_back().pragma_update(None, "user_version", 99).unwrap();
    let opened = Store::open(loft.dir.path());
    assert!(matches!(opened, Err(Error::FromTheFuture { found: 99, .. })), "{opened:?}");
}

#[tokio::test]
async fn writes_get_their_turn_beside_a_program_that_writes_all_the_time() {
    let loft = Loft::open().await;
    let greedy = loft.behind_its_back();
    let (stop, stopped) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let beside = std::thread::spawn(move || {
        let mut chunks = 0;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            greedy.execute_batch("BEGIN IMMEDIATE").unwrap();
            begins.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(90));
            greedy.execute_batch("COMMIT").unwrap();
            chunks += 1;
            // Until it has read its next chunk.
            std::thread::sleep(Duration::from_millis(4));
        }
        chunks
    });
    for n in 0..10 {
        // Each write comes when a chunk has just begun.
        while begun.try_recv().is_ok() {}
        begun.recv().unwrap();
        loft.device(APP, n).await;
    }
    stop.send(()).unwrap();
    let chunks = beside.join().unwrap();
    assert!(chunks <= 30, "10 writes waited for {chunks} chunks");
}
