//! Which events reach the handlers of a pattern.

use std::sync::Arc;

use typed_events::{Bus, ErrorKind, Record, event};

use crate::Seen;

#[event("patterns.declared")]
pub struct Declared;

/// Emits an event of each name, and returns the names that reached a handler of the pattern.
async fn reached(pattern: &str, names: &[&str]) -> Vec<String> {
    let bus = Bus::builder().accept_undeclared().quiet().build().await.unwrap();
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    bus.pattern(pattern).on(move |record: &Record| log.push(record.name())).unwrap();
    for name in names {
        bus.emit_json(name, "{}").await.unwrap();
        // The second emit finds the name in the cache.
        bus.emit_json(name, "{}").await.unwrap();
    }
    let seen = seen.take();
    let halves: Vec<_> = seen.chunks(2).map(|pair| pair[0].clone()).collect();
    assert_eq!(seen.len(), halves.len() * 2);
    halves
}

macro_rules! patterns {
    ($($test:ident: $pattern:literal takes [$($taken:literal),*] not [$($refused:literal),*];)+) => {
        $(#[tokio::test]
        async fn $test() {
            let taken: &[&str] = &[$($taken),*];
            assert_eq!(reached($pattern, &[$($taken,)* $($refused),*]).await, taken);
        })+
    };
}

patterns! {
    user_star: "user.*" takes ["user.created", "user.profile.updated"] not ["user", "users.created", "admin.user.created"];
    shop_order_star: "shop.order.*" takes ["shop.order.paid", "shop.order.item.added"] not ["shop.order", "shop.cart.paid"];
    star: "*" takes ["a", "user.created", "a.b.c.d"] not [];
    star_failed: "*.failed" takes ["payment.failed", "auth.login.failed"] not ["failed", "payment.failed.twice"];
    a_plus_c: "a.+.c" takes ["a.b.c", "a.x.c"] not ["a.c", "a.b.b.c", "a.b.d"];
    a_b_star: "a.b.*" takes ["a.b.c", "a.b.c.d"] not ["a.b", "a.c.b"];
    exact: "user.created" takes ["user.created"] not ["user", "user.created.twice", "user.deleted"];
}

#[tokio::test]
async fn bad_patterns_are_errors_that_name_the_position() {
    let bus = crate::bus().await;
    for (pattern, message) in [
        ("us*r", "`us*r` is not a pattern: a wildcard must be a whole segment, as in `user.*` (position 3)"),
        ("user..x", "`user..x` is not a pattern: a segment is empty (position 6)"),
        (
            "a\nb",
            "`a\\x0ab` is not a pattern: a segment may contain only A-Z, a-z, 0-9, `_` and `-` (position 2)",
        ),
    ] {
        let errors = [
            bus.pattern(pattern).on(|_: &Record| ()).err(),
            bus.off(pattern).err(),
            bus.stream(pattern).err(),
            bus.history(pattern).await.err(),
            bus.pattern(pattern).replay(1).on(|_: &Record| ()).await.err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Pattern);
            assert_eq!(error.to_string(), message);
        }
    }
    assert!(bus.handlers().is_empty());
}

#[tokio::test]
async fn a_typed_closure_goes_under_its_own_name_only() {
    let bus = crate::bus().await;
    bus.pattern("patterns.declared").on(|_: &Declared| ()).unwrap();
    let error = bus.pattern("patterns.*").on(|_: &Declared| ()).err().unwrap().to_string();
    assert!(
        error.contains("takes the event `patterns.declared`, so its pattern can't be `patterns.*`"),
        "{error}"
    );
}
