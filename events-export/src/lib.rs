//! Exports the [catalog](events_core::catalog) of a program as JSON Schema, AsyncAPI, TypeScript, Mermaid and Markdown.
//!
//! Use it through the feature `export` of `typed-events`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod async_api;
mod command;
mod json_schema;
mod markdown;
mod mermaid;
mod names;
mod typescript;

pub use async_api::{AsyncApi, AsyncApiVersion, async_api};
pub use command::main;
pub use json_schema::{Side, json_schema};
pub use markdown::markdown;
pub use mermaid::mermaid;
pub use typescript::{BigIntegers, NoBigIntegers, TypeScript, typescript};
