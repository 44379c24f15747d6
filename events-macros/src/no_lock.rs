//! Stands in for `lock` in a build without the schema lock: no event is locked.

use proc_macro2::TokenStream;
use syn::parse::ParseStream;
use syn::{Ident, LitStr, Type};

use crate::ast::Input;
use crate::errors::Errors;
use crate::item;
use crate::view::Newest;

/// The options of a locked event. None can exist.
#[derive(Clone)]
pub(crate) enum Options {}

impl Options {
    pub(crate) fn passed_on(_: &TokenStream) -> Option<Self> {
        None
    }

    pub(crate) fn parse_option(&mut self, _: &Ident, _: ParseStream<'_>) -> syn::Result<()> {
        match *self {}
    }

    pub(crate) fn tokens(&self) -> TokenStream {
        match *self {}
    }

    pub(crate) fn generate(
        &self,
        _: &Input<'_>,
        _: &TokenStream,
        _: &LitStr,
        _: &item::Version,
    ) -> LockedEventCode {
        match *self {}
    }
}

/// The code that the lock adds to the expansion of `#[event]`. Always empty in this build.
#[derive(Default)]
pub(crate) struct LockedEventCode {
    /// Checks of the type against its lock file.
    pub(crate) checks: TokenStream,
    /// The constant `LOCKING`.
    pub(crate) constant: TokenStream,
}

/// The names of the locked events. None can exist.
pub(crate) enum LockedNames {}

impl LockedNames {
    pub(crate) fn read(_: &[LitStr], _: &mut Errors) -> Option<Self> {
        None
    }

    pub(crate) fn checks(&self, _: &str, _: &Type, _: &[LitStr], _: &TokenStream) -> TokenStream {
        match *self {}
    }
}

pub(crate) fn newest_version(_: &str, _: &TokenStream) -> Result<Newest, String> {
    Err("the event of a view has a name only under the feature `lock` of typed-events".to_owned())
}
