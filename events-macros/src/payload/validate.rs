//! Checks that a type can be secret as a whole.

use syn::DeriveInput;

use crate::errors::Errors;
use crate::item::{Arguments, derived};
use crate::secret;

/// Returns whether a type can be secret. It must not be generic, and its `Debug`, `Serialize` and `Deserialize` impls
/// must be the ones that the attribute adds. Reports the reason if it can't.
pub(super) fn check_secret(arguments: &Arguments, input: &DeriveInput, errors: &mut Errors) -> bool {
    if !input.generics.params.is_empty() {
        errors.on(&input.generics, "a secret type can't be generic: remove its parameters");
        return false;
    }
    if let Some(left_out) = arguments.without.iter().find(|derive| *derive != "Clone") {
        let message = format!(
            "a secret type can't leave out `{left_out}`: only the `{left_out}` that is added hides the value; remove it from `without(...)`"
        );
        errors.at(left_out.span(), message);
        return false;
    }
    !secret::check_derives(&derived(&input.attrs), errors)
}
