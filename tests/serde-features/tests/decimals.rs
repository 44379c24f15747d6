//! Decimals, where a feature of rust_decimal writes them as numbers.

use typed_events::{Bus, event};

#[event("features.priced")]
pub struct Priced {
    pub prices: Vec<Option<rust_decimal::Decimal>>,
}

#[tokio::test]
async fn v8_a_decimal_that_is_written_as_a_number_is_an_error_that_names_the_feature() {
    let error = Bus::builder().build().await.unwrap_err().to_string();
    assert!(error.starts_with("event `features.priced` (decimals::Priced (tests/serde-features/"), "{error}");
    assert!(error.contains("rust_decimal/serde-float"), "{error}");
}
