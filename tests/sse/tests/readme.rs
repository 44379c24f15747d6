//! The README's example of Redis and the browser is this program: each line of it stands here, in its order.

use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use typed_events::{Bus, Record};

// typed-events with features = ["axum", "redis"], and axum 0.8
use typed_events::axum::{LastEventId, SseBridge, SseRefused};
use typed_events::redis::Redis;

#[derive(Clone, PartialEq, Eq, Hash)]
struct UserId(u64);

impl<S: Sync> FromRequestParts<S> for UserId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(1))
    }
}

fn is_for(_: &Record, user: &UserId) -> bool {
    user.0 == 1
}

/// It is compiled; other tests run such programs.
#[rustfmt::skip]
#[allow(dead_code)]
async fn example() -> Result<Router, typed_events::Error> {
let bus = Bus::builder().adapter(Redis::at("redis://127.0.0.1")).discover().build().await?;
let bridge = SseBridge::new(&bus, "notification.*", |record: &Record, user: &UserId| is_for(record, user)).build().await?;

async fn events(State(bridge): State<SseBridge<UserId>>, user: UserId, last: LastEventId) -> Result<Response, SseRefused> {
    bridge.connect(user, last).await
}
Ok(Router::new().route("/events", get(events)).with_state(bridge))
}

#[test]
fn it_is_the_readmes() {
    let readme = include_str!("../../../README.md");
    let section =
        readme.split("## Between machines, and in the browser").nth(1).expect("there is the section");
    let block = section.split("```").nth(1).expect("it has a block");
    let mut rest = include_str!("readme.rs");
    for line in block.lines().skip(1) {
        let found = rest.find(line).unwrap_or_else(|| panic!("not here, or in another order: {line}"));
        rest = &rest[found + line.len()..];
    }
}
