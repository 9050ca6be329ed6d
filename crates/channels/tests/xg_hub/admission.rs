//! Admission: who comes in, how long that may take, and what may be subscribed to.

use std::time::Duration;

use mqtt_proto::v5::{ConnectReasonCode, Packet};
use mqtt_proto::{Protocol, v5};
use pigeonloft_channels::xg::Limits;
use pigeonloft_model::DeviceId;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::VERSIONS;
use crate::common::{self, Device, connect, hub, logged_in, subscribe_packet};

#[tokio::test(start_paused = true)]
async fn who_may_not_come_in_is_told_why() {
    let token = common::token(7);
    let cases: [(&str, Option<&str>, Option<&str>, ConnectReasonCode); 8] = [
        ("", Some(common::APP), Some(common::PASSWORD), ConnectReasonCode::ClientIdentifierNotValid),
        ("phone", Some(common::APP), Some(common::PASSWORD), ConnectReasonCode::ClientIdentifierNotValid),
        (&token, None, Some(common::PASSWORD), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some("me"), Some(common::PASSWORD), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), None, ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), Some("guess"), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), Some("banned"), ConnectReasonCode::NotAuthorized),
        (&token, Some(common::APP), Some("later"), ConnectReasonCode::ServerUnavailable),
    ];
    let (hub, desk) = hub(Limits::default());
    for version in VERSIONS {
        for (id, user, password, reason) in &cases {
            let (stream, served) = connect(&hub, 65_536);
            let mut phone = Device::new(stream, version);
            let mut connect = common::connect_packet(7);
            connect.client_id = (*id).into();
            connect.username = user.map(Into::into);
            connect.password = password.map(|password| password.to_owned().into());
            phone.send(connect).await;
            let Some(Packet::Connack(connack)) = phone.next().await else { panic!("no CONNACK for {id} {user:?}") };
            assert_eq!(connack.reason_code, *reason, "{version} {id} {user:?} {password:?}");
            assert_eq!(phone.next().await, None);
            drop(phone);
            served.await.unwrap();
        }
    }
    assert_eq!(hub.stats().refused.load(std::sync::atomic::Ordering::Relaxed), 16);
    assert_eq!((hub.connected(), desk.book().calls.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connect_must_be_complete_in_time_however_it_trickles() {
    let (hub, _desk) = hub(Limits::default());
    let (stream, served) = connect(&hub, 65_536);
    let mut phone = Device::new(stream, Protocol::V311);
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        for byte in common::encode(Protocol::V311, common::connect_packet(7).into()) {
            if phone.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        panic!("the connection outlived its limit");
    });
    served.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_desk_that_does_not_answer_is_unavailable() {
    let (hub, _desk) = hub(Limits::default());
    let (stream, _served) = connect(&hub, 65_536);
    let mut phone = Device::new(stream, Protocol::V311);
    let mut connect = common::connect_packet(7);
    connect.password = Some("hang".into());
    phone.send(connect).await;
    let Some(Packet::Connack(connack)) = phone.next().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason_code, ConnectReasonCode::ServerUnavailable);
}

#[tokio::test(start_paused = true)]
async fn only_push_can_be_subscribed_to() {
    use v5::SubscribeReasonCode as Code;
    let cases = [
        ("push", Code::GrantedQoS1),
        ("#", Code::WildcardSubscriptionsNotSupported),
        ("+", Code::WildcardSubscriptionsNotSupported),
        ("$share/a/push", Code::SharedSubscriptionNotSupported),
        ("push/", Code::NotAuthorized),
        ("receipt", Code::NotAuthorized),
    ];
    for (filter, code) in cases {
        for version in VERSIONS {
            let (hub, _desk) = hub(Limits::default());
            let (mut phone, _served) = logged_in(&hub, 7, version).await;
            phone.send(subscribe_packet(filter)).await;
            let Some(Packet::Suback(suback)) = phone.next().await else { panic!("no SUBACK") };
            let expected =
                if version == Protocol::V500 || code == Code::GrantedQoS1 { code } else { Code::UnspecifiedError };
            assert_eq!(suback.topics, [expected], "{version} {filter}");
            assert_eq!(hub.is_online(DeviceId(7)), code == Code::GrantedQoS1);
        }
    }
}
