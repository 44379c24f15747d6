//! Generates the impl of `Schema`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Type;

use super::itself;
use crate::ast::{Data, Field, Fields, Input, Names, Variant};
use crate::attr::{self, Attributes, Sides};
use crate::errors::{check_at, text_of};
use crate::tokens::{contains_name, option, without_self};

/// Generates the impl of `Schema` for a type.
pub(crate) fn implement(input: &Input<'_>, private: &TokenStream, verified: Verified) -> TokenStream {
    let writer = Writer { private, input, generic: !input.generics.params.is_empty(), verified };
    if let Some(error) = writer.refused() {
        return error.to_compile_error();
    }
    let heap = match &input.data {
        Data::Struct(fields) => writer.struct_heap(fields),
        Data::Enum(variants) => writer.enum_heap(variants),
        Data::Union => TokenStream::new(),
    };
    let declared = writer.declared(writer.shape());
    let ident = input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#private::Schema));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let checks = match verified {
        Verified::Declared => itself::checks(input, private),
        Verified::Used => writer.part_checks(),
    };
    quote! {
        #checks
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

/// The point at which the compiler checks that a type can read what it writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// At the declaration of the type.
    Declared,
    /// At each use of the type.
    Used,
}

struct Writer<'a> {
    private: &'a TokenStream,
    input: &'a Input<'a>,
    /// Whether the type has generic parameters, lifetimes included.
    generic: bool,
    verified: Verified,
}

impl Writer<'_> {
    /// Returns the error for a type that can't have a schema.
    fn refused(&self) -> Option<syn::Error> {
        if let Some(field) = self.unhidden() {
            let message = "only `#[payload]` and `#[event]` can hide a secret from serde: put `#[payload]` above the type, and `#[event(secret)]` on the field";
            return Some(syn::Error::new_spanned(field.ty, message));
        }
        if let Some(field) = self.circle() {
            let message = "a generic type that contains itself has no schema: write `#[event(opaque)]` on this field, or `#[schema(opaque)]` if the type has `#[derive(Schema)]`";
            return Some(syn::Error::new_spanned(field.ty, message));
        }
        let message = "a union has no schema, because serde can't read it: use an enum";
        matches!(self.input.data, Data::Union).then(|| syn::Error::new(self.input.ident.span(), message))
    }

    /// Generates a reference to the declaration of the type. A static holds the declaration, so that a type can
    /// contain itself. A generic type has a constant for each instance, because a static can't depend on parameters.
    fn declared(&self, shape: TokenStream) -> TokenStream {
        let (private, Input { name, attr, data, .. }) = (self.private, self.input);
        let Attributes { doc, deprecated, secret, .. } = attr;
        let converts = attr.conversions.join(", ");
        let verified = match self.verified {
            _ if self.generic => quote!(Instance),
            Verified::Declared => quote!(Declared),
            Verified::Used => quote!(Used),
        };
        // A struct literal, because a call of a constructor would have to be evaluated by the compiler.
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
        let optional = match (&attr.converts.read, data) {
            (Some(ty), _) => Some(quote!(<#ty as #private::Schema>::TYPE)),
            (None, Data::Struct(fields)) if attr.transparent => self.wrapped(fields),
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

    /// Generates a reference to the shape of the serialized type.
    fn shape(&self) -> TokenStream {
        let (private, attr) = (self.private, &self.input.attr);
        // A secret type uses `remote = "Self"`, so its shape is that of the type itself.
        if let Some(remote) = attr.remote.as_ref().filter(|_| !attr.secret) {
            return opaque(private, &format!("remote {remote}"));
        }
        let Sides { written, read } = &attr.converts;
        let other = |ty: &Type| quote!(<#ty as #private::Schema>::TYPE);
        let own = || match &self.input.data {
            Data::Struct(fields) => self.struct_shape(attr, fields),
            Data::Enum(variants) => self.enum_shape(variants),
            Data::Union => opaque(private, ""),
        };
        if written.is_none() && read.is_none() {
            return own();
        }
        let written = written.as_ref().map_or_else(own, other);
        let read = read.as_ref().map_or_else(own, other);
        quote!(&#private::TypeSchema::Differs { written: #written, read: #read })
    }

    /// Generates the shape of a struct, or that of the fields of a variant.
    fn struct_shape(&self, container: &Attributes, fields: &Fields<'_>) -> TokenStream {
        let private = self.private;
        match fields {
            Fields::Named(_) if container.transparent => self.newtype_shape(fields),
            Fields::Named(_) => {
                let schema = self.named_fields(container, fields);
                quote!(&#private::TypeSchema::Struct(#schema))
            }
            Fields::Unnamed(all) if container.transparent || all.len() == 1 => self.newtype_shape(fields),
            Fields::Unnamed(_) => self.tuple_shape(fields),
            Fields::Unit => quote!(&#private::TypeSchema::Null),
        }
    }

    fn tuple_shape(&self, fields: &[Field<'_>]) -> TokenStream {
        let private = self.private;
        if let Some(shape) = self.moving_shape(fields) {
            return shape;
        }
        let side = |skipped: fn(&Attributes) -> bool, vague: fn(&Attributes) -> bool| {
            let shapes =
                fields.iter().filter(|field| !skipped(&field.attr)).map(|field| self.field_shape(field));
            let shape = quote!(&#private::TypeSchema::Tuple(&[#(#shapes),*]));
            // The number of elements can vary, so the shape does not describe the array. The elements still need a
            // schema.
            match fields.iter().any(|field| vague(&field.attr)) {
                true => {
                    let opaque = opaque(private, &elements(fields));
                    quote!({ let _ = #shape; #opaque })
                }
                false => shape,
            }
        };
        let written = side(|attr| attr.skipped.written, |attr| attr.skipped_if.is_some());
        let read = side(|attr| attr.skipped.read, |attr| attr.default && !attr.skipped.read);
        let alike = |Field { attr, .. }: &Field<'_>| {
            attr.skipped.written == attr.skipped.read && attr.skipped_if.is_none() && !attr.default
        };
        match fields.iter().all(alike) {
            true => written,
            false => quote!(&#private::TypeSchema::Differs { written: #written, read: #read }),
        }
    }

    /// Generates the shape of a tuple that can't be read as it was written, because an element that is left out moves
    /// the elements after it. The shape contains each array that serde may write, and the array that serde reads. The
    /// checks report the type because these differ.
    fn moving_shape(&self, fields: &[Field<'_>]) -> Option<TokenStream> {
        let private = self.private;
        if !(0..fields.len()).any(|index| itself::moves_others(fields, index, false).is_some()) {
            return None;
        }
        let tuple = |kept: &dyn Fn(usize, &Attributes) -> bool| {
            let kept = fields.iter().enumerate().filter(|(index, field)| kept(*index, &field.attr));
            let shapes = kept.map(|(_, field)| self.field_shape(field));
            quote!(const { &#private::TypeSchema::Tuple(&[#(#shapes),*]) })
        };
        let left_out = fields.iter().enumerate().filter(|(_, field)| field.attr.skipped_if.is_some());
        let arrays = std::iter::once(None).chain(left_out.map(|(index, _)| Some(index))).map(|without| {
            let name = without.map_or_else(|| "all".to_owned(), |index| format!("without {index}"));
            let array = tuple(&|index, attr| !attr.skipped.written && Some(index) != without);
            quote!(#private::VariantSchema::new(#name, ::core::option::Option::Some(#array)))
        });
        let read = tuple(&|_, attr| !attr.skipped.read);
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

    /// Generates the shape of a newtype, which is that of its field.
    fn newtype_shape(&self, fields: &[Field<'_>]) -> TokenStream {
        self.wrapped(fields).unwrap_or_else(|| opaque(self.private, &elements(fields)))
    }

    /// Generates the shape of the first field that serde does not skip.
    fn wrapped(&self, fields: &[Field<'_>]) -> Option<TokenStream> {
        let field = fields.iter().find(|field| !field.attr.skipped.written && !field.attr.skipped.read)?;
        Some(self.field_shape(field))
    }

    /// Generates the `StructSchema` of named fields.
    fn named_fields(&self, container: &Attributes, fields: &[Field<'_>]) -> TokenStream {
        let private = self.private;
        // serde writes the tag of a struct and ignores it when it reads.
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
        let deny = container.deny_unknown.is_some();
        quote!(#private::StructSchema { fields: &[#(#schemas),*], deny_unknown: #deny })
    }

    /// Generates the `FieldSchema` of a field. Returns `None` if serde skips the field on both sides.
    fn named_field(&self, container: &Attributes, field: &Field<'_>) -> Option<TokenStream> {
        let (private, Field { attr, serialized_names, .. }) = (self.private, field);
        let name = serialized_names.first()?;
        let shape = self.field_shape(field);
        let names = names(serialized_names);
        let presence = match attr.skipped_if.as_deref() {
            None => None,
            Some(path) if path.ends_with("Option::is_none") => {
                Some(quote!(.present(#private::Presence::UnlessNone)))
            }
            Some(path) => Some(quote!(.present(#private::Presence::Sometimes).skipped_if(#path))),
        };
        // Whether an opaque type is an `Option` is known only to serde, so the field may be missing. A field that a
        // function of the user reads must be present.
        let required = match attr {
            _ if container.default || attr.default => Some(quote!(.required(false))),
            Attributes { custom: Sides { read: true, .. }, .. } => Some(quote!(.required(true))),
            Attributes { opaque: true, .. } => Some(quote!(.required(false))),
            _ => None,
        };
        let default = match (&attr.default_by, &container.default_by) {
            (Some(path), _) => Some(path.clone()),
            _ if attr.default || !container.default => None,
            (None, Some(path)) => Some(format!("struct {path}")),
            (None, None) => Some("struct".to_owned()),
        };
        let default = default.map(|default| quote!(.defaults_to(#default)));
        let secret = attr.secret.then(|| quote!(.secret()));
        let flattened = attr.flatten.then(|| quote!(.flattened().required(false)));
        let documented = documented(attr);
        Some(quote! {
            #private::FieldSchema::new(#name, #shape) #names #presence #required #default #flattened #secret #documented
        })
    }

    /// Generates a reference to the shape of a field.
    fn field_shape(&self, field: &Field<'_>) -> TokenStream {
        let (private, Field { attr, ty, .. }) = (self.private, field);
        let text = [attr.code.join(", "), text_of(ty)].into_iter().filter(|part| !part.is_empty());
        let opaque = opaque(private, &text.collect::<Vec<_>>().join(": "));
        let ty = self.without_self(ty);
        let own = quote!(<#ty as #private::Schema>::TYPE);
        match attr.custom {
            _ if attr.opaque => opaque,
            Sides { written: true, read: true } => opaque,
            Sides { written: true, .. } => {
                quote!(&#private::TypeSchema::Differs { written: #opaque, read: #own })
            }
            // serde does not read the field as its type, so the type needs no schema.
            Sides { read: true, .. } => opaque,
            _ => own,
        }
    }

    /// Returns the type of a field with `Self` replaced by its name. A static inside an impl can't refer to `Self`.
    fn without_self(&self, ty: &Type) -> Type {
        match self.generic {
            true => ty.clone(),
            false => without_self(ty, self.input.ident),
        }
    }

    /// Generates constants that fail to evaluate if serde can't flatten a field, or if a secret would be written next
    /// to the tag of an enum. For types that are verified at their declaration, the module `itself` generates these
    /// checks.
    fn part_checks(&self) -> TokenStream {
        let Input { attr, data, .. } = self.input;
        let flattened = self.input.fields().into_iter().filter(|field| field.attr.flatten);
        let flattened = flattened.filter_map(|field| self.part_check(field, "flattened"));
        let tagged = match (data, &attr.tag, &attr.content) {
            (Data::Enum(variants), Some(_), None) => variants.as_slice(),
            _ => &[],
        };
        let tagged = tagged.iter().filter_map(|variant| variant.fields.newtype());
        flattened.chain(tagged.filter_map(|field| self.part_check(field, "beside_tag"))).collect()
    }

    fn part_check(&self, Field { attr, ty, .. }: &Field<'_>, check: &str) -> Option<TokenStream> {
        if self.generic || !attr.is_read() || attr.custom.written {
            return None;
        }
        let (private, check) = (self.private, format_ident!("{check}"));
        let (own, text) = (self.without_self(ty), text_of(ty));
        let arguments = quote!(#text, <#own as #private::Schema>::TYPE);
        Some(check_at(ty, quote!(#private::#check), arguments))
    }

    /// Returns a secret field without the serde option that hides it.
    fn unhidden(&self) -> Option<&Field<'_>> {
        let mut fields = self.input.fields().into_iter();
        fields.find(|Field { ident, attr, .. }| attr.secret && !attr.hides && ident.is_some())
    }

    /// Returns the field through which a generic type contains itself.
    fn circle(&self) -> Option<&Field<'_>> {
        let own = self.input.ident.to_string();
        let contains = |field: &&Field<'_>| {
            field.attr.is_read() && (contains_name(field.ty, "Self") || contains_name(field.ty, &own))
        };
        self.input.fields().into_iter().filter(|_| self.generic).find(contains)
    }

    fn enum_shape(&self, variants: &[Variant<'_>]) -> TokenStream {
        let (private, attr) = (self.private, &self.input.attr);
        let variants = variants.iter().filter_map(|variant| self.variant(variant));
        let tag = match (&attr.tag, &attr.content) {
            _ if attr.untagged => quote!(Untagged),
            (Some(tag), None) => quote!(Internal(#tag)),
            (Some(tag), Some(content)) => quote!(Adjacent(#tag, #content)),
            (None, _) => quote!(External),
        };
        let deny = attr.deny_unknown.is_some();
        quote! {
            &#private::TypeSchema::Enum(#private::EnumSchema {
                tag: #private::Tag::#tag,
                variants: &[#(#variants),*],
                deny_unknown: #deny,
            })
        }
    }

    /// Generates the `VariantSchema` of a variant. Returns `None` if serde skips the variant on both sides.
    fn variant(&self, variant: &Variant<'_>) -> Option<TokenStream> {
        let (private, Variant { attr, serialized_names, fields, .. }) = (self.private, variant);
        let name = serialized_names.first()?;
        // serde treats a newtype whose field is skipped as a unit variant.
        let is_unit =
            matches!(fields, Fields::Unit) || fields.newtype().is_some_and(|field| field.attr.is_skipped());
        let body = if is_unit {
            quote!(::core::option::Option::None)
        } else if attr.custom.written || attr.custom.read {
            let opaque = opaque(private, &attr.code.join(", "));
            quote!(::core::option::Option::Some(#opaque))
        } else {
            let shape = self.struct_shape(attr, fields);
            quote!(::core::option::Option::Some(const { #shape }))
        };
        let names = names(serialized_names);
        let other = attr.other.then(|| quote!(.other()));
        let untagged = attr.untagged.then(|| quote!(.untagged()));
        let documented = documented(attr);
        Some(quote! {
            #private::VariantSchema::new(#name, #body) #names #other #untagged #documented
        })
    }

    fn struct_heap(&self, fields: &[Field<'_>]) -> TokenStream {
        let sizes = fields.iter().enumerate().map(|(index, field)| {
            let member = field.member(index);
            self.heap_of(field, true, quote!(&self.#member))
        });
        quote!(0 #(+ #sizes)*)
    }

    fn enum_heap(&self, variants: &[Variant<'_>]) -> TokenStream {
        let arms = variants.iter().map(|Variant { ident, attr, fields, .. }| {
            let described = !attr.skipped.read && !attr.custom.read;
            let (mut bindings, mut sizes) = (Vec::new(), Vec::new());
            for (index, field) in fields.iter().enumerate() {
                let (binding, member) = (format_ident!("field{index}"), field.member(index));
                bindings.push(quote!(#member: #binding));
                sizes.push(self.heap_of(field, described, quote!(#binding)));
            }
            quote!(Self::#ident { #(#bindings),* } => 0 #(+ #sizes)*,)
        });
        match variants.is_empty() {
            true => quote!(match *self {}),
            false => quote!(match self { #(#arms)* }),
        }
    }

    /// Generates the heap size of a field. A field that serde reads as its type uses the `Schema` impl of the type.
    /// Other fields use a `Schema` impl if their type has one, else the size of what serde writes. `described` is
    /// false for the fields of a variant that serde does not read or that a function of the user reads; they are sized
    /// like these other fields.
    fn heap_of(&self, field: &Field<'_>, described: bool, reference: TokenStream) -> TokenStream {
        let (private, ty) = (self.private, field.ty);
        match described && field.attr.is_read() {
            true => quote!(<#ty as #private::Schema>::heap_size(#reference)),
            // A type with a lifetime does not own the data that it borrows.
            false if self.input.generics.lifetimes().next().is_some() => quote!(0),
            false => quote!((&&&#private::Weigh(#reference)).__typed_events_weight()),
        }
    }
}

/// Generates the shape of an opaque value. `code` names its type and the functions that write and read it.
fn opaque(private: &TokenStream, code: &str) -> TokenStream {
    quote!(&#private::TypeSchema::Opaque(#code))
}

/// Returns the types of unnamed fields as text, each with its serde attributes.
fn elements(fields: &[Field<'_>]) -> String {
    let each = fields.iter().map(|field| {
        let options = attr::named(&field.syntax.attrs, "serde");
        let options: String = options.map(|option| text_of(option) + " ").collect();
        options + &text_of(field.ty)
    });
    format!("({})", each.collect::<Vec<_>>().join(", "))
}

/// Generates the calls that set the names for writing and reading, unless both sides use the same single name.
fn names(Names { written, read, aliases }: &Names) -> TokenStream {
    let mut calls = TokenStream::new();
    if written.is_none() {
        calls.extend(quote!(.written_as(::core::option::Option::None)));
    }
    let one_name = written.is_none() || written == read;
    if !one_name || read.is_none() || !aliases.is_empty() {
        let read = option(read.as_ref());
        calls.extend(quote!(.read_as(#read, &[#(#aliases),*])));
    }
    calls
}

/// Generates the call that adds the doc comment and `#[deprecated]`, if the item has one of them.
fn documented(Attributes { doc, deprecated, .. }: &Attributes) -> Option<TokenStream> {
    (*deprecated || !doc.is_empty()).then(|| quote!(.documented(#doc, #deprecated)))
}
