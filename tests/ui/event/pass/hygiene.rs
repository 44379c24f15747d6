//! The generated code takes nothing from the user's scope.

#![no_implicit_prelude]

#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct Result;
#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
mod core {}
#[allow(dead_code)]
mod serde {}

#[::typed_events::event("hygiene.kept")]
pub struct Kept {
    pub id: ::core::primitive::u64,
}

#[::typed_events::on]
pub fn sync(_: &Kept, _: &::core::primitive::u8) {}

#[::typed_events::on("hygiene.*")]
async fn wait(_: &::typed_events::Record) -> ::core::result::Result<(), ::std::string::String> {
    ::core::result::Result::Ok(())
}

fn main() {}
