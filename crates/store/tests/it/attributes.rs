//! Attributes: what devices have under names, asked for a batch at once, and gone with the name.

use pigeonloft_model::{AccessId, DeviceId};
use pigeonloft_store::Declared;

use crate::support::{APP, Loft, app, token};

fn texts(given: &[&str]) -> Vec<String> {
    given.iter().map(|&text| text.to_owned()).collect()
}

fn pair(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

#[tokio::test]
async fn the_values_of_a_batch_are_those_of_its_devices_under_the_names_that_are_wanted() {
    let loft = Loft::open().await;
    let devices = loft.devices(3).await;
    let names = texts(&["city", "nickname", "shoe"]);
    assert_eq!(loft.store.declare_attributes(APP, names).await.unwrap(), Declared::Done);
    assert_eq!(loft.store.declare_attributes(AccessId(7), texts(&["city"])).await.unwrap(), Declared::NoApp);
    for (n, given) in [(0, vec![pair("nickname", "Ming"), pair("city", "Wuxi")]), (2, vec![pair("nickname", "Li")])] {
        assert_eq!(loft.store.set_attributes(APP, token(n), given).await.unwrap(), Some(vec![]));
    }
    let wanted = texts(&["nickname", "unknown", "city"]);
    let asked = vec![devices[0], devices[1], DeviceId(77)];
    let values = loft.store.attribute_values(asked, wanted).await.unwrap();
    assert_eq!(values.get(devices[0], "nickname"), Some("Ming"));
    assert_eq!(values.get(devices[0], "city"), Some("Wuxi"));
    for (device, name) in
        [(devices[0], "shoe"), (devices[0], "unknown"), (devices[1], "nickname"), (devices[2], "nickname")]
    {
        assert_eq!(values.get(device, name), None, "{device} {name}");
    }
}

#[tokio::test]
async fn a_name_goes_with_what_all_devices_have_under_it_and_others_stay() {
    let loft = Loft::open().await;
    let other = AccessId(1_500_000_002);
    loft.store.add_app(app(other)).await.unwrap();
    loft.store.declare_attributes(APP, texts(&["city", "nickname"])).await.unwrap();
    loft.store.declare_attributes(other, texts(&["nickname"])).await.unwrap();
    let behind = loft.behind_its_back();
    // A few steps of the deletion, the last of them not full.
    behind
        .execute_batch(&format!(
            "INSERT INTO device (access_id, token, environment, created_at, seen_at)
                 WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50123)
                 SELECT CASE WHEN n = 9 THEN {other} ELSE {app} END, randomblob(18), 0, 1, 1 FROM n;
             INSERT INTO attribute SELECT device_id, name_id, 'x' FROM device JOIN attribute_name USING (access_id);",
            app = APP.0,
            other = other.0,
        ))
        .unwrap();
    let count = |what: &str| {
        let sql = format!("SELECT count(*) FROM attribute JOIN attribute_name USING (name_id) WHERE {what}");
        behind.query_row(&sql, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    assert_eq!(count("true"), 2 * 50_122 + 1);
    assert!(loft.store.remove_attribute(APP, "nickname".into()).await.unwrap());
    assert!(!loft.store.remove_attribute(APP, "nickname".into()).await.unwrap(), "it is gone already");
    assert_eq!((count("name = 'city'"), count("name = 'nickname'")), (50_122, 1));
    let left: u64 = behind.query_row("SELECT count(*) FROM attribute", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 50_123, "nothing is left of it that is not seen");
}
