//! `#[event(view_of = ...)]`: re-emits the item with derives; the hidden derive checks it against its
//! event and makes it an argument of handlers.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{DeriveInput, Path, Type};

use crate::errors::{Errors, call_at, text_of};
use crate::item::{Arguments, derives};
use crate::schema;

/// The attribute through which `#[event]` speaks to the hidden derive.
pub(crate) const HELPER: &str = "__typed_event";

pub(crate) fn expand(
    arguments: &Arguments,
    event: &Type,
    input: &DeriveInput,
    errors: Errors,
) -> TokenStream {
    let derives = derives(arguments, input, "__View");
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    if let Type::Infer(_) = event {
        return quote!(#input #errors);
    }
    quote! {
        #derives
        #[__typed_event(view_of = #event, crate = #krate)]
        #input
        #errors
    }
}

/// The hidden derive: the impl of `View`, and its checks.
pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let Some((event, krate)) = hidden_arguments(&input) else {
        return syn::Error::new(input.ident.span(), "use `#[event(view_of = ...)]`").to_compile_error();
    };
    let private = quote!(#krate::__private);
    let schema = schema::implement(&input, &krate, HELPER);
    let checks = checks(&input, &event, &private);
    let ident = &input.ident;
    let receive = quote!(<&'a Self as #private::Argument<'a>>);
    quote! {
        #schema
        #checks
        #[automatically_derived]
        impl #private::View for #ident {
            const NAME: &'static str = <#event as #private::Event>::NAME;
            const VERSION: u32 = <#event as #private::Event>::VERSION;

            fn of() -> &'static #private::EventDecl {
                <#event as #private::Event>::decl()
            }
        }
        #[automatically_derived]
        impl<'a> #private::Argument<'a> for &'a #ident {
            const TAKES: #private::Takes = #private::Takes::view::<#ident>();
            const WANTS: #private::Wants = #private::Wants::Record;

            #[inline]
            fn receive(call: #private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_of_record(call)
            }

            #[inline]
            fn of_record(record: &'a #private::Record) -> ::core::result::Result<Self, #private::Error> {
                record.view()
            }
        }
        #[automatically_derived]
        impl<'a> #private::Argument<'a> for #ident {
            const TAKES: #private::Takes = #private::Takes::view::<#ident>();
            const WANTS: #private::Wants = #private::Wants::Record;

            #[inline]
            fn receive(call: #private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                #receive::receive(call).cloned()
            }

            #[inline]
            fn of_record(record: &'a #private::Record) -> ::core::result::Result<Self, #private::Error> {
                #receive::of_record(record).cloned()
            }
        }
    }
}

/// Constants that fail to evaluate where the event can't fill the view: one for each field, so that
/// each has its own place; one for a type without.
fn checks(input: &DeriveInput, event: &Type, private: &TokenStream) -> TokenStream {
    let fields = schema::wire_names(input, HELPER);
    let (view, of) = (input.ident.to_string(), text_of(event));
    let ident = &input.ident;
    let check = |place: &dyn ToTokens, field: TokenStream| {
        let reader = quote!(<#ident as #private::Schema>::TYPE);
        let written = quote!(<#event as #private::Event>::SCHEMA);
        let name = quote!(<#event as #private::Event>::NAME);
        call_at(&place, quote!(#private::view), quote!(#view, #of, #name, #reader, #written, #field))
    };
    let mut checks: Vec<_> = fields
        .iter()
        .filter_map(|(field, names)| {
            let (ident, colon, ty, name) =
                (&field.ident, &field.colon_token, &field.ty, names.read.as_ref()?);
            Some(check(&quote!(#ident #colon #ty), quote!(::core::option::Option::Some(#name))))
        })
        .collect();
    if checks.is_empty() {
        checks.push(check(ident, quote!(::core::option::Option::None)));
    }
    quote!(#(const _: () = #checks;)*)
}

/// What `#[event]` passed on to the derive.
fn hidden_arguments(input: &DeriveInput) -> Option<(Type, Path)> {
    let attribute = input.attrs.iter().find(|attribute| attribute.path().is_ident(HELPER))?;
    let (mut event, mut krate) = (None, None);
    attribute
        .parse_nested_meta(|meta| {
            match meta.path.is_ident("view_of") {
                true => event = Some(meta.value()?.parse()?),
                false => krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            }
            Ok(())
        })
        .ok()?;
    Some((event?, krate?))
}
