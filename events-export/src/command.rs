//! The command that prints the catalog of a program in one of the formats.

use std::io::Write;
use std::process::ExitCode;

use events_core::{Catalog, catalog};
use serde_json::{Map, Value};

use crate::{AsyncApi, AsyncApiVersion, BigIntegers, Side, TypeScript, json_schema, markdown, mermaid};

const USAGE: &str = "pass one of: json-schema [EVENT], async-api [TITLE VERSION [3.0|3.1]], typescript [number|bigint|string] [FIELD=number|bigint|string ...], mermaid, markdown, list";

/// Prints the catalog of the program in the format that its arguments name:
///
/// - `json-schema [EVENT]`: the JSON Schema of the payloads that are accepted for this event, or for each event by its
///   name;
/// - `async-api [TITLE VERSION [3.0|3.1]]`: the events that are sent and received, as an AsyncAPI document. The title
///   is `Events`, the version `1.0.0` and the version of AsyncAPI 3.0 by default;
/// - `typescript [number|bigint|string] [FIELD=number|bigint|string ...]`: TypeScript types of the payloads as they are
///   written. The arguments set the type of integers that may be beyond 2^53: of all, or of a field such as `Order.id`
///   or a type such as `Order`;
/// - `mermaid`, `markdown`: the events and handlers as a diagram or as a document;
/// - `list`: one line for each event and handler.
///
/// A small program, for example `examples/catalog.rs`, makes it a command:
/// `cargo run --example catalog -- typescript > events.ts`.
///
/// ```no_run
/// // Links the crate whose events are printed: use my_app as _;
/// # use typed_events as _;
///
/// fn main() -> std::process::ExitCode {
///     typed_events::export::main()
/// }
/// ```
///
/// An error in the arguments or in writing the output is printed to stderr, and the exit code is a failure.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let printed = text(&catalog(), &arguments).map_err(|problem| format!("{problem}\n")).and_then(|text| {
        std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| format!("can't write the output: {error}\n"))
    });
    let Err(problem) = printed else { return ExitCode::SUCCESS };
    // If stderr can't be written either, the exit code alone reports the failure.
    let _ = std::io::stderr().write_all(problem.as_bytes());
    ExitCode::FAILURE
}

fn text(catalog: &Catalog, arguments: &[String]) -> Result<String, String> {
    if catalog.events().is_empty() {
        return Err("no event is linked: add `use my_crate as _;` to the program, with the crate that declares the events".to_owned());
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["json-schema"] => {
            let all = catalog.events().iter();
            let all: Map<_, _> =
                all.map(|event| (event.name().to_owned(), json_schema(event, Side::Read))).collect();
            Ok(format!("{:#}\n", Value::Object(all)))
        }
        ["json-schema", name] => {
            let event = catalog
                .event(name)
                .ok_or_else(|| format!("`{}` is not a declared event", name.escape_debug()))?;
            Ok(format!("{:#}\n", json_schema(event, Side::Read)))
        }
        ["async-api"] => Ok(format!("{:#}\n", AsyncApi::new("Events", "1.0.0").document(catalog))),
        ["async-api", title, version] => {
            Ok(format!("{:#}\n", AsyncApi::new(title, version).document(catalog)))
        }
        ["async-api", title, version, written_in] => {
            let api = AsyncApi::new(title, version).written_in(async_api_version(written_in)?);
            Ok(format!("{:#}\n", api.document(catalog)))
        }
        ["typescript", ref settings @ ..] => {
            typescript_settings(settings)?.module(catalog).map_err(|error| error.to_string())
        }
        ["mermaid"] => Ok(mermaid(catalog)),
        ["markdown"] => Ok(markdown(catalog)),
        ["list"] => Ok(list(catalog)),
        [] => Err(USAGE.to_owned()),
        _ => Err(format!("`{}` is not a format: {USAGE}", arguments.join(" ").escape_debug())),
    }
}

fn async_api_version(text: &str) -> Result<AsyncApiVersion, String> {
    match text {
        "3.0" | "3.0.0" => Ok(AsyncApiVersion::V3_0),
        "3.1" | "3.1.0" => Ok(AsyncApiVersion::V3_1),
        _ => Err(format!("`{}` is not a supported version of AsyncAPI: use 3.0 or 3.1", text.escape_debug())),
    }
}

fn typescript_settings(settings: &[&str]) -> Result<TypeScript, String> {
    settings.iter().try_fold(TypeScript::new(), |typescript, setting| match setting.rsplit_once('=') {
        Some((path, kind)) => Ok(typescript.big_integers_of(path, big_integers(kind)?)),
        None => Ok(typescript.big_integers(big_integers(setting)?)),
    })
}

fn big_integers(text: &str) -> Result<BigIntegers, String> {
    match text {
        "number" => Ok(BigIntegers::Number),
        "bigint" => Ok(BigIntegers::BigInt),
        "string" => Ok(BigIntegers::String),
        _ => {
            Err(format!("`{}` is not a type for integers: use number, bigint or string", text.escape_debug()))
        }
    }
}

/// Writes one line for each event and handler.
fn list(catalog: &Catalog) -> String {
    let unhandled: Vec<_> = catalog.unhandled().map(|event| event.name()).collect();
    let events = catalog.events().iter().map(|event| {
        let (file, line) = event.location();
        let note = if unhandled.contains(&event.name()) { "  no handler takes it" } else { "" };
        format!("event   {}  v{}  {} ({file}:{line}){note}\n", event.name(), event.version(), event.item())
    });
    let handlers = catalog.handlers().iter().map(|handler| {
        let (file, line) = handler.location();
        let note = if handler.events().is_empty() { "  no event reaches it" } else { "" };
        format!("handler {}  on {}  ({file}:{line}){note}\n", handler.item(), handler.patterns().join(", "))
    });
    events.chain(handlers).collect()
}
