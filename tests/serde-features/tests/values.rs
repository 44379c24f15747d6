//! Values with serde_json's features on.

use std::collections::BTreeMap;

use serde_json::Value;
use typed_events::adapter::InMemory;
use typed_events::{Bus, event, payload};

#[payload]
#[derive(PartialEq)]
#[serde(tag = "kind")]
pub enum Tagged {
    Wide { value: f64 },
}

#[payload]
#[derive(PartialEq)]
#[serde(untagged)]
pub enum Untagged {
    Texts(BTreeMap<String, String>),
    Number(f32),
}

#[payload]
#[derive(PartialEq)]
pub struct Flat {
    pub flat: f64,
}

#[event("features.measured")]
#[derive(PartialEq)]
pub struct Measured {
    pub wide: f64,
    pub narrow: f32,
    pub big: u128,
    #[serde(flatten)]
    pub flat: Flat,
    pub tagged: Tagged,
    pub untagged: Untagged,
    pub any: Value,
}

fn measured() -> Measured {
    Measured {
        wide: 117.63331139400017,
        narrow: 7.038531e-26,
        big: u128::MAX,
        flat: Flat { flat: -0.0 },
        tagged: Tagged::Wide { value: 1e300 },
        untagged: Untagged::Number(7.038531e-26),
        any: serde_json::from_str(r#"{"z": 1.50, "a": [1e2, 123456789012345678901234567890, -0, 0.1]}"#)
            .unwrap(),
    }
}

#[test]
fn the_features_are_on() {
    assert_eq!(measured().any.to_string(), r#"{"z":1.50,"a":[1e+2,123456789012345678901234567890,-0,0.1]}"#);
    assert_eq!(serde_json::to_string(&rust_decimal::Decimal::ONE).unwrap(), "1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn v8_values_come_back_bit_for_bit_with_all_features_on() {
    let memory = InMemory::new();
    let join = || Bus::builder().adapter(memory.clone()).quiet().build();
    let (bus, other) = (join().await.unwrap(), join().await.unwrap());
    bus.emit(measured()).await.unwrap();
    let came = other.history("*").of::<Measured>().await.unwrap().complete().unwrap().remove(0);
    assert!(*came == measured(), "{came:?}");
    assert!(came.flat.flat.is_sign_negative());
    assert_eq!(came.any.to_string(), measured().any.to_string());
    // From outside, where a number is not written as serde_json would: the same as without the features.
    let json = r#"{"wide": 1.50, "narrow": 0.10, "big": 1, "flat": 2.50, "tagged": {"kind": "Wide", "value": 3.50}, "untagged": 4.50, "any": null}"#;
    bus.emit_json("features.measured", json).await.unwrap();
    let came = other.history("*").of::<Measured>().await.unwrap().complete().unwrap().remove(1);
    assert_eq!((came.wide, came.narrow, came.flat.flat), (1.5, 0.1, 2.5));
    assert!(came.tagged == Tagged::Wide { value: 3.5 } && came.untagged == Untagged::Number(4.5));
}
