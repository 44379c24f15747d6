//! Writes the impl of `Schema`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DataEnum, DeriveInput, Field, Fields, Path};

use super::attributes::{Container, Item};

/// The impl of `Schema` for a type; `helper` is the attribute our field options stand in.
pub(crate) fn implement(input: &DeriveInput, krate: &Path, helper: &str) -> TokenStream {
    let private = quote!(#krate::__private);
    let writer = Writer { private: &private, helper, borrows: input.generics.lifetimes().next().is_some() };
    let container = Container::read(&input.attrs);
    let (shape, heap) = match &input.data {
        Data::Struct(data) => {
            (writer.struct_shape(&container, &data.fields), writer.struct_heap(&data.fields))
        }
        Data::Enum(data) => (writer.enum_shape(&container, data), writer.enum_heap(data)),
        Data::Union(_) => {
            let error =
                syn::Error::new(input.ident.span(), "a union has no schema: it can't be read by serde");
            return error.to_compile_error();
        }
    };
    let shape = match container.other_shape {
        true => quote!(#private::TypeSchema::Any),
        false => shape,
    };
    // What another type reads, or a wrapper that is not there on the wire, may be missing like it.
    let optional = match &input.data {
        _ if container.other_shape => quote!(true),
        Data::Struct(data) if container.transparent => writer.wrapped_optional(&data.fields),
        _ => quote!(false),
    };
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#private::Schema));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #impl_generics #private::Schema for #ident #type_generics #where_clause {
            // Behind a function, so that a type may contain itself.
            const TYPE: &'static #private::TypeSchema = &#private::TypeSchema::Named(|| const { &#shape });
            const OPTIONAL: bool = #optional;

            fn heap_size(&self) -> usize {
                #[allow(unused_imports, reason = "all fields may have a schema")]
                use #private::WeighNothing as _;
                #heap
            }
        }
    }
}

struct Writer<'a> {
    private: &'a TokenStream,
    helper: &'a str,
    /// Whether the type has lifetimes.
    borrows: bool,
}

impl Writer<'_> {
    fn struct_shape(&self, container: &Container, fields: &Fields) -> TokenStream {
        let private = self.private;
        match fields {
            Fields::Named(_) if container.transparent => self.one_of_them(fields),
            Fields::Named(_) => self.named_shape(container, fields),
            Fields::Unnamed(unnamed) if container.transparent || unnamed.unnamed.len() == 1 => {
                self.one_of_them(fields)
            }
            Fields::Unnamed(_) => {
                let items: Vec<_> = fields.iter().map(|field| (field, self.item(field))).collect();
                let read = items.iter().filter(|(_, item)| !item.skipped);
                let shapes = read.map(|(field, item)| self.field_shape(field, item));
                let shape = quote!(#private::TypeSchema::Tuple(&[#(#shapes),*]));
                // Elements with a default may be left out: the length says nothing.
                match items.iter().any(|(_, item)| item.default) {
                    true => quote!({ let _ = #shape; #private::TypeSchema::Any }),
                    false => shape,
                }
            }
            Fields::Unit => quote!(#private::TypeSchema::Null),
        }
    }

    /// A newtype looks like what is in it.
    fn one_of_them(&self, fields: &Fields) -> TokenStream {
        let private = self.private;
        let shape = fields.iter().map(|field| (field, self.item(field))).find(|(_, item)| !item.skipped);
        match shape {
            Some((field, item)) => {
                let shape = self.field_shape(field, &item);
                quote!(#private::TypeSchema::Newtype(#shape))
            }
            None => quote!(#private::TypeSchema::Any),
        }
    }

    fn wrapped_optional(&self, fields: &Fields) -> TokenStream {
        let private = self.private;
        match fields.iter().find(|field| !self.item(field).skipped) {
            Some(field) if self.is_measured(field) => {
                let ty = &field.ty;
                quote!(<#ty as #private::Schema>::OPTIONAL)
            }
            _ => quote!(true),
        }
    }

    fn named_shape(&self, container: &Container, fields: &Fields) -> TokenStream {
        let private = self.private;
        let items: Vec<_> = fields.iter().map(|field| (field, self.item(field))).collect();
        let flattens = items.iter().any(|(_, item)| item.flatten);
        let read = items.iter().filter(|(_, item)| !item.skipped && !item.flatten);
        let fields = read.map(|(field, item)| {
            let ident = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
            let name = item.rename.clone().unwrap_or_else(|| container.rename_all.of_field(&ident));
            let shape = self.field_shape(field, item);
            // With an alias the value may stand under another name.
            let given = container.default || item.default || !item.aliases.is_empty();
            let required = match given {
                true => quote!(false),
                false => self.required(field, item),
            };
            quote!(#private::FieldSchema { name: #name, required: #required, shape: #shape })
        });
        let fields: Vec<_> = fields.collect();
        let aliases = items.iter().any(|(_, item)| !item.aliases.is_empty());
        let deny = container.deny_unknown && !flattens && !aliases;
        quote! {
            #private::TypeSchema::Struct(#private::StructSchema { fields: &[#(#fields),*], deny_unknown: #deny })
        }
    }

    /// Whether serde insists on the field: not on an `Option`, unless a function of the user reads
    /// it.
    fn required(&self, field: &Field, item: &Item) -> TokenStream {
        let private = self.private;
        let ty = &field.ty;
        if item.custom {
            return quote!(true);
        }
        if item.opaque {
            // Only serde knows: it may be an `Option` under another name.
            return quote!(false);
        }
        quote!(!<#ty as #private::Schema>::OPTIONAL)
    }

    fn field_shape(&self, field: &Field, item: &Item) -> TokenStream {
        let private = self.private;
        let ty = &field.ty;
        match item.custom || item.opaque {
            true => quote!(&#private::TypeSchema::Any),
            false => quote!(<#ty as #private::Schema>::TYPE),
        }
    }

    fn enum_shape(&self, container: &Container, data: &DataEnum) -> TokenStream {
        let private = self.private;
        let mut names = Vec::new();
        for variant in &data.variants {
            let item = Item::read(&variant.attrs, self.helper);
            if item.custom {
                return quote!(#private::TypeSchema::Any);
            }
            if item.skipped {
                continue;
            }
            let ident = variant.ident.unraw().to_string();
            names.push(item.rename.unwrap_or_else(|| container.rename_all.of_variant(&ident)));
            names.extend(item.aliases);
        }
        // The payloads of variants have shapes, too: this finds field types without one.
        let read = data.variants.iter().filter(|variant| !Item::read(&variant.attrs, self.helper).skipped);
        let shapes = read.map(|variant| {
            let mut inner = Container::read(&variant.attrs);
            inner.rename_all_fields = container.rename_all_fields;
            self.struct_shape(&inner, &variant.fields)
        });
        quote! {{
            let _: &[#private::TypeSchema] = &[#(#shapes),*];
            #private::TypeSchema::Enum(&[#(#names),*])
        }}
    }

    fn struct_heap(&self, fields: &Fields) -> TokenStream {
        let sizes = fields.iter().enumerate().map(|(index, field)| {
            let index = syn::Index::from(index);
            let member = field.ident.as_ref().map_or_else(|| quote!(#index), |ident| quote!(#ident));
            self.heap_of(field, quote!(&self.#member))
        });
        quote!(0 #(+ #sizes)*)
    }

    fn enum_heap(&self, data: &DataEnum) -> TokenStream {
        let arms = data.variants.iter().map(|variant| {
            let name = &variant.ident;
            let skipped = Item::read(&variant.attrs, self.helper);
            if skipped.skipped || skipped.custom {
                return quote!(Self::#name { .. } => 0,);
            }
            let (mut bindings, mut sizes) = (Vec::new(), Vec::new());
            for (index, field) in variant.fields.iter().enumerate() {
                let binding = format_ident!("field{index}");
                let index = syn::Index::from(index);
                let member = field.ident.as_ref().map_or_else(|| quote!(#index), |ident| quote!(#ident));
                bindings.push(quote!(#member: #binding));
                sizes.push(self.heap_of(field, quote!(#binding)));
            }
            quote!(Self::#name { #(#bindings),* } => 0 #(+ #sizes)*,)
        });
        match data.variants.is_empty() {
            true => quote!(match *self {}),
            false => quote!(match self { #(#arms)* }),
        }
    }

    /// What a field holds. One that needs no schema is weighed if it has one.
    fn heap_of(&self, field: &Field, reference: TokenStream) -> TokenStream {
        let (private, ty) = (self.private, &field.ty);
        match self.is_measured(field) {
            true => quote!(<#ty as #private::Schema>::heap_size(#reference)),
            // What is borrowed is held elsewhere.
            false if self.borrows => quote!(0),
            false => quote!(#private::Weigh(#reference).__typed_events_weight()),
        }
    }

    /// Whether the field must have a schema. What serde does not read, or reads by a function of the
    /// user, need not.
    fn is_measured(&self, field: &Field) -> bool {
        let item = self.item(field);
        !item.opaque && !item.custom && !item.skipped
    }

    fn item(&self, field: &Field) -> Item {
        Item::read(&field.attrs, self.helper)
    }
}
