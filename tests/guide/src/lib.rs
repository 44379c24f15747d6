//! The guide's chapters: each snippet in `docs/` is a documentation test of this crate.

#[doc = include_str!("../../../docs/first-five-minutes.md")]
mod first_five_minutes {}

#[doc = include_str!("../../../docs/events.md")]
mod events {}

#[doc = include_str!("../../../docs/handlers.md")]
mod handlers {}

#[doc = include_str!("../../../docs/errors.md")]
mod errors {}

#[doc = include_str!("../../../docs/testing.md")]
mod testing {}

#[doc = include_str!("../../../docs/evolving-a-schema.md")]
mod evolving_a_schema {}

#[doc = include_str!("../../../docs/durable-handlers.md")]
mod durable_handlers {}

#[doc = include_str!("../../../docs/delivery.md")]
mod delivery {}

#[doc = include_str!("../../../docs/operating.md")]
mod operating {}

#[doc = include_str!("../../../docs/choosing-an-adapter.md")]
mod choosing_an_adapter {}

#[doc = include_str!("../../../docs/browsers.md")]
mod browsers {}

#[doc = include_str!("../../../docs/writing-an-adapter.md")]
mod writing_an_adapter {}

#[doc = include_str!("../../../docs/jobs.md")]
mod jobs {}

#[doc = include_str!("../../../docs/limits.md")]
mod limits {}

#[doc = include_str!("../../../docs/from-javascript.md")]
mod from_javascript {}

#[doc = include_str!("../../../docs/faq.md")]
mod faq {}
