//! Generates the checks of a view against its event, which the compiler evaluates.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

use super::event::Event;
use crate::ast::Input;
use crate::errors::call_at;
use crate::tokens::option;

/// Generates constants that fail to evaluate if the event can't fill the view. There is one constant for each field,
/// so that each error has the span of its field. A view without fields has one constant.
pub(super) fn checks(
    input: &Input<'_>,
    event: &Event,
    written: &TokenStream,
    private: &TokenStream,
) -> TokenStream {
    let (view, ident) = (input.ident.to_string(), input.ident);
    let Event { shown, name, types, .. } = event;
    let known = quote!(#view, #shown, #name, <#ident as #private::Schema>::TYPE, #written);
    let check = |node: &dyn ToTokens, field: Option<&String>| {
        let field = option(field);
        call_at(&node, quote!(#private::view), quote!(#known, #field))
    };
    let checked = input.serialized_fields().iter().filter_map(|field| {
        let name = field.serialized_names.read.as_ref()?;
        Some(check(&field.location(), Some(name)))
    });
    let mut checks: Vec<_> = checked.collect();
    if let Some(node) = input.attr.deny_unknown.as_ref().filter(|_| !checks.is_empty()) {
        checks.push(call_at(node, quote!(#private::view_rest), known.clone()));
    }
    if checks.is_empty() {
        checks.push(check(ident, None));
    }
    match types.is_empty() {
        true => quote!(#(const _: () = #checks;)*),
        false => quote! {
            const _: () = {
                #types
                #(const _: () = #checks;)*
            };
        },
    }
}
