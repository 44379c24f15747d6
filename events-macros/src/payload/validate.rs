//! What a secret type can't be.

use syn::DeriveInput;

use crate::errors::Errors;
use crate::item::{Arguments, derived};
use crate::secret;

/// Whether a type can be secret: it has serde's impls and `Debug` of us, and no parameters.
pub(super) fn check_secret(arguments: &Arguments, input: &DeriveInput, errors: &mut Errors) -> bool {
    if !input.generics.params.is_empty() {
        errors.on(&input.generics, "a secret type can't be generic");
        return false;
    }
    if let Some(left_out) = arguments.without.iter().find(|derive| *derive != "Clone") {
        let message =
            format!("a secret type can't leave out `{left_out}`: the one that is added hides the value");
        errors.at(left_out.span(), message);
        return false;
    }
    !secret::check_derives(&derived(&input.attrs), errors)
}
