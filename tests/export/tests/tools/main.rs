//! The exported documents, judged by the tools they are made for: AsyncAPI's parser and modelina, the TypeScript
//! compiler, ajv.

mod async_api;
mod integers;
mod json_schema;
mod judge;
mod typescript;
mod words;
