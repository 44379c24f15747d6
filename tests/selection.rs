//! Which of the linked handlers a bus takes, where all of them can be taken.

use typed_events::{Bus, event, on};

#[event("selection.made")]
pub struct Made;

#[on]
fn audit(_: &Made) {}

mod web {
    use super::{Made, on};

    #[on]
    pub fn welcome(_: &Made) {}
}

async fn handlers(builder: typed_events::BusBuilder) -> Vec<String> {
    let handlers = builder.build().await.unwrap().handlers().into_iter();
    handlers.map(|handler| handler.name.split(" (").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn s2_without_leaves_out_one_handler_of_all() {
    assert_eq!(handlers(Bus::builder().discover()).await, ["selection::audit", "selection::web::welcome"]);
    assert_eq!(handlers(Bus::builder().without::<audit>()).await, ["selection::web::welcome"]);
    assert_eq!(handlers(Bus::builder().discover().without::<audit>()).await, ["selection::web::welcome"]);
    assert_eq!(
        handlers(Bus::builder().discover_in("selection")).await,
        ["selection::audit", "selection::web::welcome"]
    );
    assert_eq!(handlers(Bus::builder().discover().handler::<audit>()).await.len(), 2);
    assert!(handlers(Bus::builder().no_handlers().without::<audit>()).await.is_empty());
    assert!(handlers(Bus::builder()).await.is_empty());
}
