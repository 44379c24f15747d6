//! The derives that an attribute adds to a type.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, DeriveInput, Ident, Path, Token};

use super::Arguments;
use crate::attr;

/// The derives that `#[event]` and `#[payload]` add.
pub(super) const DERIVES: [&str; 4] = ["Debug", "Clone", "Serialize", "Deserialize"];

/// The part of a type that text output leaves out because it is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    Nothing,
    Fields,
    Type,
}

/// Returns the derives to add: those that the type does not have yet, and our hidden derives.
pub(crate) fn derives(arguments: &Arguments, input: &DeriveInput, ours: &str, hidden: Hidden) -> TokenStream {
    let mut ours = vec![format_ident!("{ours}")];
    // Derives above the attribute are an error that is already reported. Hiding secrets would only add further errors.
    let hidden = if arguments.above.is_empty() { hidden } else { Hidden::Nothing };
    match hidden {
        Hidden::Nothing => {}
        Hidden::Fields if arguments.without.iter().any(|derive| derive == "Debug") => {}
        Hidden::Fields => ours.push(format_ident!("__Redact")),
        Hidden::Type => ours.push(format_ident!("__Secret")),
    }
    let krate = &arguments.krate;
    let present = derived(&input.attrs);
    let is_present = |name: &str| {
        present.iter().any(|present| present == name) || arguments.above.iter().any(|above| above == name)
    };
    let (mut paths, mut adds_serde) = (Vec::new(), false);
    for name in DERIVES {
        if !arguments.adds(name) || is_present(name) || name == "Debug" && hidden != Hidden::Nothing {
            continue;
        }
        paths.push(match name {
            "Debug" => quote!(::core::fmt::Debug),
            "Clone" => quote!(::core::clone::Clone),
            name => {
                adds_serde = true;
                let name = format_ident!("{name}");
                quote!(#krate::__private::serde::#name)
            }
        });
    }
    let names_serde =
        attr::named(&input.attrs, "serde").any(|attribute| attr::has_option(attribute, "crate"));
    let serde = (adds_serde && !names_serde).then(|| {
        let path = quote!(#krate::__private::serde).to_string().replace(' ', "");
        quote!(#[serde(crate = #path)])
    });
    quote! {
        #[derive(#(#krate::__private::#ours,)* #(#paths),*)]
        #serde
    }
}

/// Returns the derives that the user wrote, each as the last segment of its path.
pub(crate) fn derived(attributes: &[Attribute]) -> Vec<Ident> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let paths =
        lists.filter_map(|list| list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).ok());
    paths.flatten().filter_map(|path| path.segments.last().map(|last| last.ident.clone())).collect()
}
