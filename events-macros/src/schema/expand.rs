//! Writes the impl of `Schema`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Field, Fields, Ident, Path, Type, Variant};

use super::attributes::{Container, Item, Sides, documentation, has_rename_all, is_secret};
use super::case::Case;
use super::itself;
use crate::errors::{call_at, text_of};
use crate::tokens::{contains_name, without_self};

/// The impl of `Schema` for a type; `helper` is the attribute our field options stand in.
pub(crate) fn implement(input: &DeriveInput, krate: &Path, helper: &str, verified: Verified) -> TokenStream {
    let private = quote!(#krate::__private);
    let writer = Writer::new(input, &private, helper, verified);
    let mut container = Container::read(&input.attrs);
    if let Data::Struct(_) = &input.data
        && let Some(tag) = container.tag.take()
    {
        let name = Item::read(&input.attrs, helper).rename.written;
        container.struct_tag = Some((tag, name.unwrap_or_else(|| input.ident.unraw().to_string())));
    }
    if let Some(field) = writer.unhidden(&input.data) {
        let message = "only `#[payload]` and `#[event]` can hide a secret from serde: put `#[payload]` above the type, and `#[event(secret)]` on the field";
        return syn::Error::new_spanned(field, message).to_compile_error();
    }
    if let Some(field) = writer.circle(&input.data) {
        let message = "a generic type that contains itself has no schema: mark this field `#[event(opaque)]` (`#[schema(opaque)]` below `#[derive(Schema)]`)";
        return syn::Error::new_spanned(field, message).to_compile_error();
    }
    let heap = match &input.data {
        Data::Struct(data) => writer.struct_heap(&data.fields),
        Data::Enum(data) => writer.enum_heap(data),
        Data::Union(_) => {
            let error =
                syn::Error::new(input.ident.span(), "a union has no schema: it can't be read by serde");
            return error.to_compile_error();
        }
    };
    let shape = writer.shape(&container, &input.data);
    let declared = writer.declared(input, &container, shape);
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#private::Schema));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let itself = match verified {
        Verified::Declared => itself::checks(input, &container, helper, &private),
        Verified::Used => TokenStream::new(),
    };
    let placed = match verified {
        // These come with the others.
        Verified::Declared if !writer.generic => TokenStream::new(),
        _ => {
            let flattened = writer.flattened_checks(&input.data);
            let beside_tag = writer.tag_checks(&input.data, &container);
            quote!(#flattened #beside_tag)
        }
    };
    quote! {
        #placed
        #itself
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #impl_generics #private::Schema for #ident #type_generics #where_clause {
            const TYPE: &'static #private::TypeSchema = #declared;

            #[inline]
            fn heap_size(&self) -> usize {
                #[allow(unused_imports, reason = "all fields may have a schema")]
                use #private::{WeighDescribed as _, WeighNothing as _, WeighParts as _, WeighWritten as _};
                #heap
            }
        }
    }
}

/// Where the compiler checks that a type reads back what it writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// Here.
    Declared,
    /// Where it is used.
    Used,
}

/// The fields of a struct with named ones, each with the names it is written and read under; none for
/// other types.
pub(crate) fn wire_names<'i>(
    input: &'i DeriveInput,
    helper: &str,
) -> Vec<(&'i Field, Sides<Option<String>>)> {
    let container = Container::read(&input.attrs);
    let Data::Struct(data) = &input.data else { return Vec::new() };
    let plain = container.converts.written.is_none() && container.converts.read.is_none();
    match &data.fields {
        Fields::Named(fields) if !container.transparent && container.remote.is_none() && plain => {
            let names = |field| (field, names_of(field, &container, &Item::read(&field.attrs, helper)));
            fields.named.iter().map(names).collect()
        }
        _ => Vec::new(),
    }
}

/// The names a field is written and read under, where it is.
pub(super) fn names_of(field: &Field, container: &Container, item: &Item) -> Sides<Option<String>> {
    let ident = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let of = |skipped: bool, renamed: &Option<String>, case: &Case| {
        (!skipped).then(|| renamed.clone().unwrap_or_else(|| case.of_field(&ident)))
    };
    Sides {
        written: of(item.skipped.written, &item.rename.written, &container.rename_all.written),
        read: of(item.skipped.read, &item.rename.read, &container.rename_all.read),
    }
}

/// The names a variant is written and read under, where it is.
pub(super) fn names_of_variant(
    variant: &Variant,
    container: &Container,
    item: &Item,
) -> Sides<Option<String>> {
    let ident = variant.ident.unraw().to_string();
    let of = |skipped: bool, renamed: &Option<String>, case: &Case| {
        (!skipped).then(|| renamed.clone().unwrap_or_else(|| case.of_variant(&ident)))
    };
    Sides {
        written: of(item.skipped.written, &item.rename.written, &container.rename_all.written),
        read: of(item.skipped.read, &item.rename.read, &container.rename_all.read),
    }
}

/// What holds for the fields of a variant.
pub(super) fn variant_container(container: &Container, variant: &Variant) -> Container {
    let mut inner = Container::read(&variant.attrs);
    if !has_rename_all(&variant.attrs) {
        inner.rename_all = container.rename_all_fields.clone();
    }
    inner.deny_unknown = container.deny_unknown;
    inner
}

struct Writer<'a> {
    private: &'a TokenStream,
    helper: &'a str,
    ident: &'a Ident,
    /// Whether the type has parameters.
    generic: bool,
    /// Whether the type has lifetimes.
    borrows: bool,
    /// Whether textual forms leave out the type: then serde's impls are made by hand of the derived ones.
    secret: bool,
    verified: Verified,
}

impl<'a> Writer<'a> {
    fn new(input: &'a DeriveInput, private: &'a TokenStream, helper: &'a str, verified: Verified) -> Self {
        Self {
            private,
            helper,
            ident: &input.ident,
            generic: !input.generics.params.is_empty(),
            borrows: input.generics.lifetimes().next().is_some(),
            secret: is_secret(&input.attrs, helper),
            verified,
        }
    }

    /// A reference to the type's declaration, which a static holds, so that the type may contain
    /// itself. A generic type has one declaration for each instance, and no static.
    fn declared(&self, input: &DeriveInput, container: &Container, shape: TokenStream) -> TokenStream {
        let private = self.private;
        let name = input.ident.unraw().to_string();
        let (doc, deprecated) = documentation(&input.attrs);
        let (secret, converts) = (self.secret, container.conversions.join(", "));
        let verified = match self.verified {
            _ if self.generic => quote!(Instance),
            Verified::Declared => quote!(Declared),
            Verified::Used => quote!(Used),
        };
        // A literal, so that the compiler has no call to evaluate.
        let declaration = quote! {
            #private::NamedSchema {
                path: ::core::concat!(::core::module_path!(), "::", #name),
                file: ::core::file!(),
                line: ::core::line!(),
                doc: #doc,
                deprecated: #deprecated,
                secret: #secret,
                converts: #converts,
                verified: #private::Verified::#verified,
                shape: #shape,
            }
        };
        let optional = match (&container.converts.read, &input.data) {
            (Some(ty), _) => Some(quote!(<#ty as #private::Schema>::TYPE)),
            (None, Data::Struct(data)) if container.transparent => self.wrapped(&data.fields),
            _ => None,
        };
        let optional = optional.map(|shape| quote!(.optional_like(#shape)));
        if self.generic {
            return quote!(&#private::TypeSchema::Named(#private::NamedRef::new(const { &#declaration }) #optional));
        }
        quote! {{
            static __TYPED_EVENTS_TYPE: #private::NamedSchema = #declaration;
            &#private::TypeSchema::Named(#private::NamedRef::new(&__TYPED_EVENTS_TYPE) #optional)
        }}
    }

    /// A reference to the shape on the wire.
    fn shape(&self, container: &Container, data: &Data) -> TokenStream {
        let private = self.private;
        if let Some(remote) = &container.remote
            && !self.secret
        {
            return opaque(private, &format!("remote {remote}"));
        }
        let Sides { written, read } = &container.converts;
        let other = |ty: &syn::Type| quote!(<#ty as #private::Schema>::TYPE);
        let own = || match data {
            Data::Struct(data) => self.struct_shape(container, &data.fields),
            Data::Enum(data) => self.enum_shape(container, data),
            Data::Union(_) => opaque(private, ""),
        };
        if written.is_none() && read.is_none() {
            return own();
        }
        let written = written.as_ref().map_or_else(own, other);
        let read = read.as_ref().map_or_else(own, other);
        quote!(&#private::TypeSchema::Differs { written: #written, read: #read })
    }

    fn struct_shape(&self, container: &Container, fields: &Fields) -> TokenStream {
        let private = self.private;
        match fields {
            Fields::Named(_) if container.transparent => self.one_of_them(fields),
            Fields::Named(_) => {
                let schema = self.named_fields(container, fields);
                quote!(&#private::TypeSchema::Struct(#schema))
            }
            Fields::Unnamed(unnamed) if container.transparent || unnamed.unnamed.len() == 1 => {
                self.one_of_them(fields)
            }
            Fields::Unnamed(_) => self.tuple_shape(fields),
            Fields::Unit => quote!(&#private::TypeSchema::Null),
        }
    }

    fn tuple_shape(&self, fields: &Fields) -> TokenStream {
        let private = self.private;
        let items: Vec<_> = fields.iter().map(|field| (field, self.item(field))).collect();
        if let Some(shape) = self.moving_shape(&items) {
            return shape;
        }
        let side = |skipped: fn(&Item) -> bool, vague: fn(&Item) -> bool| {
            let kept = items.iter().filter(|(_, item)| !skipped(item));
            let shapes = kept.map(|(field, item)| self.field_shape(field, item));
            let shape = quote!(&#private::TypeSchema::Tuple(&[#(#shapes),*]));
            // Elements that may be left out: the length says nothing.
            match items.iter().any(|(_, item)| vague(item)) {
                true => {
                    let opaque = opaque(private, &elements(fields));
                    quote!({ let _ = #shape; #opaque })
                }
                false => shape,
            }
        };
        let written = side(|item| item.skipped.written, |item| item.skipped_if.is_some());
        let read = side(|item| item.skipped.read, |item| item.default && !item.skipped.read);
        let alike = |(_, item): &(_, Item)| {
            item.skipped.written == item.skipped.read && item.skipped_if.is_none() && !item.default
        };
        match items.iter().all(alike) {
            true => written,
            false => quote!(&#private::TypeSchema::Differs { written: #written, read: #read }),
        }
    }

    /// The shape of a tuple that is never read as it was written, since an element that is left out moves those
    /// after it: every array that may be written, and the one that is read. The checks of a type refuse it by this
    /// form.
    fn moving_shape(&self, items: &[(&Field, Item)]) -> Option<TokenStream> {
        let private = self.private;
        let moves = |(index, (_, item)): (usize, &(_, Item))| {
            let is_last = items[index + 1..].iter().all(|(_, item)| itself::skips_both(item));
            itself::moves_others(item, false, is_last).is_some()
        };
        if !items.iter().enumerate().any(moves) {
            return None;
        }
        let tuple = |kept: &dyn Fn(usize, &Item) -> bool| {
            let kept = items.iter().enumerate().filter(|(index, (_, item))| kept(*index, item));
            let shapes = kept.map(|(_, (field, item))| self.field_shape(field, item));
            quote!(const { &#private::TypeSchema::Tuple(&[#(#shapes),*]) })
        };
        let left_out = items.iter().enumerate().filter(|(_, (_, item))| item.skipped_if.is_some());
        let arrays = std::iter::once(None).chain(left_out.map(|(index, _)| Some(index))).map(|without| {
            let name = without.map_or_else(|| "all".to_owned(), |index| format!("without {index}"));
            let array = tuple(&|index, item| !item.skipped.written && Some(index) != without);
            quote!(#private::VariantSchema::new(#name, ::core::option::Option::Some(#array)))
        });
        let read = tuple(&|_, item| !item.skipped.read);
        Some(quote! {
            &#private::TypeSchema::Differs {
                written: const { &#private::TypeSchema::Enum(#private::EnumSchema {
                    tag: #private::Tag::Untagged,
                    variants: &[#(#arrays),*],
                    deny_unknown: false,
                }) },
                read: #read,
            }
        })
    }

    /// A newtype looks like what is in it.
    fn one_of_them(&self, fields: &Fields) -> TokenStream {
        self.wrapped(fields).unwrap_or_else(|| opaque(self.private, &elements(fields)))
    }

    /// The shape of the one field serde looks at.
    fn wrapped(&self, fields: &Fields) -> Option<TokenStream> {
        let mut items = fields.iter().map(|field| (field, self.item(field)));
        let (field, item) = items.find(|(_, item)| !item.skipped.written && !item.skipped.read)?;
        Some(self.field_shape(field, &item))
    }

    /// The `StructSchema` of named fields.
    fn named_fields(&self, container: &Container, fields: &Fields) -> TokenStream {
        let private = self.private;
        // A struct's tag is written, and not looked at when read.
        let tag = container.struct_tag.as_ref().map(|(tag, name)| {
            quote! {
                #private::FieldSchema::new(#tag, const { &#private::TypeSchema::Enum(#private::EnumSchema {
                    tag: #private::Tag::External,
                    variants: &[#private::VariantSchema::new(#name, ::core::option::Option::None)],
                    deny_unknown: false,
                }) }).read_as(::core::option::Option::None, &[])
            }
        });
        let schemas = fields.iter().filter_map(|field| self.named_field(container, field));
        let schemas = tag.into_iter().chain(schemas);
        let deny = container.deny_unknown;
        quote!(#private::StructSchema { fields: &[#(#schemas),*], deny_unknown: #deny })
    }

    /// The `FieldSchema` of a field, unless serde skips it both ways.
    fn named_field(&self, container: &Container, field: &Field) -> Option<TokenStream> {
        let private = self.private;
        let item = self.item(field);
        let on_wire = names_of(field, container, &item);
        let name = on_wire.written.as_ref().or(on_wire.read.as_ref())?;
        let shape = self.field_shape(field, &item);
        let names = names(&item, &on_wire);
        let presence = match item.skipped_if.as_deref() {
            None => None,
            Some(path) if path.ends_with("Option::is_none") => {
                Some(quote!(.present(#private::Presence::UnlessNone)))
            }
            Some(path) => Some(quote!(.present(#private::Presence::Sometimes).skipped_if(#path))),
        };
        // Only serde knows whether an opaque type is an `Option`; one that a function reads is none.
        let required = match &item {
            _ if container.default || item.default => Some(quote!(.required(false))),
            Item { custom: Sides { read: true, .. }, .. } => Some(quote!(.required(true))),
            Item { opaque: true, .. } => Some(quote!(.required(false))),
            _ => None,
        };
        let default = match (&item.default_by, &container.default_by) {
            (Some(path), _) => Some(path.clone()),
            _ if item.default || !container.default => None,
            (None, Some(path)) => Some(format!("struct {path}")),
            (None, None) => Some("struct".to_owned()),
        };
        let default = default.map(|default| quote!(.defaults_to(#default)));
        let secret = item.secret.then(|| quote!(.secret()));
        let flattened = item.flatten.then(|| quote!(.flattened().required(false)));
        let documented = documented(&field.attrs);
        Some(quote! {
            #private::FieldSchema::new(#name, #shape) #names #presence #required #default #flattened #secret #documented
        })
    }

    /// A reference to the shape of a field.
    fn field_shape(&self, field: &Field, item: &Item) -> TokenStream {
        let private = self.private;
        let text = [item.code.join(", "), text_of(&field.ty)].into_iter().filter(|part| !part.is_empty());
        let opaque = opaque(private, &text.collect::<Vec<_>>().join(": "));
        let ty = self.without_self(&field.ty);
        let own = quote!(<#ty as #private::Schema>::TYPE);
        match item.custom {
            _ if item.opaque => opaque,
            Sides { written: true, read: true } => opaque,
            Sides { written: true, .. } => {
                quote!(&#private::TypeSchema::Differs { written: #opaque, read: #own })
            }
            // Its type needs no schema: nothing reads it as such.
            Sides { read: true, .. } => opaque,
            _ => own,
        }
    }

    /// The type of a field, without `Self`: a static inside of an impl can't name it.
    fn without_self(&self, ty: &Type) -> Type {
        match self.generic {
            true => ty.clone(),
            false => without_self(ty, self.ident),
        }
    }

    /// Constants that fail to evaluate where serde can't flatten a field.
    fn flattened_checks(&self, data: &Data) -> TokenStream {
        let private = self.private;
        let flattened = all_fields(data).into_iter().filter(|field| {
            let item = self.item(field);
            item.flatten && !self.generic && self.is_measured(field) && !item.custom.written
        });
        flattened.map(|field| self.check(field, quote!(#private::flattened))).collect()
    }

    /// Constants that fail to evaluate where what is secret would stand beside the tag of an enum.
    fn tag_checks(&self, data: &Data, container: &Container) -> TokenStream {
        let (Data::Enum(data), Some(_), None) = (data, &container.tag, &container.content) else {
            return TokenStream::new();
        };
        let private = self.private;
        let newtypes = data.variants.iter().filter(
            |variant| matches!(&variant.fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1),
        );
        let fields = newtypes.flat_map(|variant| &variant.fields);
        let checked = fields
            .filter(|field| !self.generic && self.is_measured(field) && !self.item(field).custom.written);
        checked.map(|field| self.check(field, quote!(#private::beside_tag))).collect()
    }

    /// A constant that fails to evaluate where the type of a field does not stand a check.
    fn check(&self, field: &Field, check: TokenStream) -> TokenStream {
        let private = self.private;
        let (ty, text) = (self.without_self(&field.ty), text_of(&field.ty));
        let check = call_at(&field.ty, check, quote!(#text, <#ty as #private::Schema>::TYPE));
        quote!(const _: () = #check;)
    }

    /// A secret field that serde does not ask about.
    fn unhidden<'t>(&self, data: &'t Data) -> Option<&'t Type> {
        let mut fields = all_fields(data).into_iter();
        let unhidden = |field: &&Field| {
            let item = self.item(field);
            item.secret && !item.hides && field.ident.is_some()
        };
        fields.find(unhidden).map(|field| &field.ty)
    }

    /// The type of a field through which a generic type contains itself.
    fn circle<'t>(&self, data: &'t Data) -> Option<&'t Type> {
        if !self.generic {
            return None;
        }
        let own = self.ident.to_string();
        let mut measured = all_fields(data).into_iter().filter(|field| self.is_measured(field));
        measured
            .find(|field| contains_name(&field.ty, "Self") || contains_name(&field.ty, &own))
            .map(|field| &field.ty)
    }

    fn enum_shape(&self, container: &Container, data: &DataEnum) -> TokenStream {
        let private = self.private;
        let variants = data.variants.iter().filter_map(|variant| self.variant(container, variant));
        let tag = match (&container.tag, &container.content) {
            _ if container.untagged => quote!(Untagged),
            (Some(tag), None) => quote!(Internal(#tag)),
            (Some(tag), Some(content)) => quote!(Adjacent(#tag, #content)),
            (None, _) => quote!(External),
        };
        let deny = container.deny_unknown;
        quote! {
            &#private::TypeSchema::Enum(#private::EnumSchema {
                tag: #private::Tag::#tag,
                variants: &[#(#variants),*],
                deny_unknown: #deny,
            })
        }
    }

    fn variant(&self, container: &Container, variant: &Variant) -> Option<TokenStream> {
        let private = self.private;
        let item = Item::read(&variant.attrs, self.helper);
        let on_wire = names_of_variant(variant, container, &item);
        let name = on_wire.written.as_ref().or(on_wire.read.as_ref())?;
        let is_empty = |fields: &Fields| match fields {
            // serde takes a newtype without its field for a unit.
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                itself::skips_both(&self.item(&fields.unnamed[0]))
            }
            fields => matches!(fields, Fields::Unit),
        };
        let body = match &variant.fields {
            fields if is_empty(fields) => quote!(::core::option::Option::None),
            _ if item.custom.written || item.custom.read => {
                let opaque = opaque(private, &item.code.join(", "));
                quote!(::core::option::Option::Some(#opaque))
            }
            fields => {
                let inner = variant_container(container, variant);
                let shape = self.struct_shape(&inner, fields);
                quote!(::core::option::Option::Some(const { #shape }))
            }
        };
        let names = names(&item, &on_wire);
        let other = item.other.then(|| quote!(.other()));
        let untagged = item.untagged.then(|| quote!(.untagged()));
        let documented = documented(&variant.attrs);
        Some(quote! {
            #private::VariantSchema::new(#name, #body) #names #other #untagged #documented
        })
    }

    fn struct_heap(&self, fields: &Fields) -> TokenStream {
        let sizes = fields.iter().enumerate().map(|(index, field)| {
            let index = syn::Index::from(index);
            let member = field.ident.as_ref().map_or_else(|| quote!(#index), |ident| quote!(#ident));
            self.heap_of(field, true, quote!(&self.#member))
        });
        quote!(0 #(+ #sizes)*)
    }

    fn enum_heap(&self, data: &DataEnum) -> TokenStream {
        let arms = data.variants.iter().map(|variant| {
            let name = &variant.ident;
            let item = Item::read(&variant.attrs, self.helper);
            let described = !item.skipped.read && !item.custom.read;
            let (mut bindings, mut sizes) = (Vec::new(), Vec::new());
            for (index, field) in variant.fields.iter().enumerate() {
                let binding = format_ident!("field{index}");
                let index = syn::Index::from(index);
                let member = field.ident.as_ref().map_or_else(|| quote!(#index), |ident| quote!(#ident));
                bindings.push(quote!(#member: #binding));
                sizes.push(self.heap_of(field, described, quote!(#binding)));
            }
            quote!(Self::#name { #(#bindings),* } => 0 #(+ #sizes)*,)
        });
        match data.variants.is_empty() {
            true => quote!(match *self {}),
            false => quote!(match self { #(#arms)* }),
        }
    }

    /// What a field holds. One that needs no schema is weighed by it if it has one, or else by what it writes.
    /// So is each field of a variant that is not `described`: serde does not read it, or a function of the user does.
    fn heap_of(&self, field: &Field, described: bool, reference: TokenStream) -> TokenStream {
        let (private, ty) = (self.private, &field.ty);
        match described && self.is_measured(field) {
            true => quote!(<#ty as #private::Schema>::heap_size(#reference)),
            // What is borrowed is held elsewhere.
            false if self.borrows => quote!(0),
            false => quote!((&&&#private::Weigh(#reference)).__typed_events_weight()),
        }
    }

    /// Whether the field must have a schema. What serde does not read, or reads by a function of the
    /// user, need not.
    fn is_measured(&self, field: &Field) -> bool {
        let item = self.item(field);
        !item.opaque && !item.custom.read && !item.skipped.read
    }

    fn item(&self, field: &Field) -> Item {
        Item::read(&field.attrs, self.helper)
    }
}

/// The fields of a struct, or of all variants.
pub(crate) fn all_fields(data: &Data) -> Vec<&Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// The shape of what is not described, with the code that writes and reads it.
fn opaque(private: &TokenStream, code: &str) -> TokenStream {
    quote!(&#private::TypeSchema::Opaque(#code))
}

/// The types of unnamed fields, with what serde is told of them.
fn elements(fields: &Fields) -> String {
    let each = fields.iter().map(|field| {
        let options = field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde"));
        let options: String = options.map(|option| text_of(option) + " ").collect();
        options + &text_of(&field.ty)
    });
    format!("({})", each.collect::<Vec<_>>().join(", "))
}

/// The calls that say under which names something is written and read, where it is not one.
fn names(item: &Item, on_wire: &Sides<Option<String>>) -> TokenStream {
    let mut calls = TokenStream::new();
    if on_wire.written.is_none() {
        calls.extend(quote!(.written_as(::core::option::Option::None)));
    }
    let one_name = on_wire.written.is_none() || on_wire.written == on_wire.read;
    if !one_name || on_wire.read.is_none() || !item.aliases.is_empty() {
        let read = match &on_wire.read {
            Some(read) => quote!(::core::option::Option::Some(#read)),
            None => quote!(::core::option::Option::None),
        };
        let aliases = &item.aliases;
        calls.extend(quote!(.read_as(#read, &[#(#aliases),*])));
    }
    calls
}

/// The call that carries the doc comment and `#[deprecated]` along, if there is one.
fn documented(attributes: &[Attribute]) -> Option<TokenStream> {
    let (doc, deprecated) = documentation(attributes);
    (deprecated || !doc.is_empty()).then(|| quote!(.documented(#doc, #deprecated)))
}
