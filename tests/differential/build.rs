//! Generates pairs of types: one that a producer writes, and a changed one that a consumer reads. Also generates types
//! that are compared with themselves, most of which have a mistake.
//!
//! The same seed gives the same pairs; `DIFFERENTIAL_SEED` and `DIFFERENTIAL_PAIRS` set others.

use std::fmt::Write;

fn main() {
    println!("cargo::rerun-if-env-changed=DIFFERENTIAL_SEED");
    println!("cargo::rerun-if-env-changed=DIFFERENTIAL_PAIRS");
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    };
    let pairs = number("DIFFERENTIAL_PAIRS", 400);
    let mut random = Random { state: number("DIFFERENTIAL_SEED", 1) * 2 + 1, wild: false };
    let mut items: Vec<Item> = Vec::new();
    let mut code = String::new();
    let mut list = String::new();
    for index in 0..pairs as usize {
        let producer = Item::any(&mut random, index, &items);
        let consumer = producer.changed(&mut random, index, &items);
        producer.write(&mut code, 'P', index);
        consumer.write(&mut code, 'C', index);
        producer.write_sample(&mut code, 'P', index);
        writeln!(list, "    check::<P{index}, C{index}>({index}, tally);").unwrap();
        items.push(producer);
    }
    writeln!(code, "fn check_all(tally: &mut Tally) {{\n{list}}}").unwrap();
    write_selves(&mut random, pairs as usize, &mut code);
    let path = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("pairs.rs");
    std::fs::write(path, code).unwrap();
}

/// Types that are compared with themselves, with every attribute and every kind of map key in every position.
fn write_selves(random: &mut Random, count: usize, code: &mut String) {
    random.wild = true;
    let mut items: Vec<Item> = Vec::new();
    let mut list = String::new();
    for index in 0..count {
        let item = Item::any(random, index, &items);
        item.write(code, 'S', index);
        item.write_sample(code, 'S', index);
        writeln!(list, "    check_itself::<S{index}>({index}, tally);").unwrap();
        items.push(item);
    }
    writeln!(code, "fn check_selves(tally: &mut SelfTally) {{\n{list}}}").unwrap();
}

/// A random number generator (splitmix64).
struct Random {
    state: u64,
    /// Whether the generated types may have mistakes.
    wild: bool,
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One in `n` of the types that may be wrong.
    fn wild_in(&mut self, n: usize) -> bool {
        self.wild && self.one_in(n)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[derive(Clone)]
enum Ty {
    Plain(&'static str),
    Option(Box<Ty>),
    Vec(Box<Ty>),
    Box(Box<Ty>),
    Array(Box<Ty>, usize),
    Tuple(Vec<Ty>),
    Map(&'static str, Box<Ty>),
    /// One of the previous pairs.
    Item(usize),
}

/// `Nest` is a type of the test.
const PLAIN: [&str; 23] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "i8",
    "i16",
    "i32",
    "i64",
    "u128",
    "i128",
    "f32",
    "f64",
    "bool",
    "char",
    "String",
    "String",
    "()",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "serde_json::Value",
    "Nest",
];
const KEYS: [&str; 6] = ["String", "String", "u8", "u64", "char", "bool"];

/// The last names are types of the test.
const WILD_KEYS: [&str; 18] = [
    "i128",
    "(u8, char)",
    "()",
    "Option<u8>",
    "Vec<u8>",
    "std::net::IpAddr",
    "KeyUnit",
    "KeyNew",
    "KeyData",
    "KeyText",
    "KeyFloat",
    "KeyStruct",
    "KeyRest",
    "KeyConverted",
    "KeyRenamed",
    "KeySkipped",
    "KeyTwice",
    "KeyTextFirst",
];

/// Types that are written as text, for untagged variants.
const TEXTS: [&str; 9] = [
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "Option<std::net::Ipv4Addr>",
    "String",
    "char",
    "KeyUnit",
    "KeyRest",
];

fn key(random: &mut Random) -> &'static str {
    match random.wild_in(3) {
        true => random.pick(&WILD_KEYS),
        false => random.pick(&KEYS),
    }
}

impl Ty {
    fn any(random: &mut Random, items: &[Item], depth: usize) -> Self {
        let inner = |random: &mut Random| Box::new(Self::any(random, items, depth + 1));
        match random.below(if depth > 2 { 8 } else { 20 }) {
            8 | 9 => Self::Option(inner(random)),
            10 | 11 => Self::Vec(inner(random)),
            12 => Self::Box(inner(random)),
            13 => Self::Array(inner(random), random.below(4)),
            14 => Self::Tuple((0..1 + random.below(3)).map(|_| *inner(random)).collect()),
            15 => Self::Map(key(random), inner(random)),
            16.. if !items.is_empty() => Self::Item(random.below(items.len())),
            _ => Self::Plain(random.pick(&PLAIN)),
        }
    }

    fn changed(&self, random: &mut Random, items: &[Item]) -> Self {
        if let (Self::Option(inner), true) = (self, random.one_in(4)) {
            return (**inner).clone();
        }
        if random.one_in(5) {
            return Self::Option(Box::new(self.clone()));
        }
        if random.one_in(5) {
            return Self::any(random, items, 1);
        }
        match self {
            Self::Plain(_) => Self::Plain(random.pick(&PLAIN)),
            Self::Option(inner) => Self::Option(Box::new(inner.changed(random, items))),
            Self::Vec(inner) if random.one_in(3) => Self::Array(inner.clone(), 2),
            Self::Vec(inner) => Self::Vec(Box::new(inner.changed(random, items))),
            Self::Box(inner) => (**inner).clone(),
            Self::Array(inner, n) if random.one_in(2) => Self::Tuple(vec![(**inner).clone(); *n]),
            Self::Array(inner, _) => Self::Vec(inner.clone()),
            Self::Tuple(all) if random.one_in(2) => {
                Self::Tuple(all.iter().map(|ty| ty.changed(random, items)).collect())
            }
            Self::Tuple(all) => Self::Vec(Box::new(all[0].clone())),
            Self::Map(key, value) if random.one_in(2) => Self::Map(random.pick(&KEYS), {
                let _ = key;
                value.clone()
            }),
            Self::Map(key, value) => Self::Map(key, Box::new(value.changed(random, items))),
            Self::Item(_) => Self::Item(random.below(items.len())),
        }
    }

    fn text(&self, side: char) -> String {
        match self {
            Self::Plain(name) => (*name).to_owned(),
            Self::Option(inner) => format!("Option<{}>", inner.text(side)),
            Self::Vec(inner) => format!("Vec<{}>", inner.text(side)),
            Self::Box(inner) => format!("Box<{}>", inner.text(side)),
            Self::Array(inner, n) => format!("[{}; {n}]", inner.text(side)),
            Self::Tuple(all) => {
                let all: String = all.iter().map(|ty| ty.text(side) + ", ").collect();
                format!("({all})")
            }
            Self::Map(key, value) => format!("std::collections::BTreeMap<{key}, {}>", value.text(side)),
            Self::Item(index) => format!("{side}{index}"),
        }
    }

    /// Whether serde reads `None` if a field of this type is missing, although the type is not a plain `Option`.
    fn is_boxed_option(&self) -> bool {
        match self {
            Self::Box(inner) => matches!(**inner, Self::Option(_)) || inner.is_boxed_option(),
            _ => false,
        }
    }

    /// Whether a field of this type can have `#[serde(default)]`.
    fn has_default(&self) -> bool {
        match self {
            Self::Plain(name) => !name.starts_with("std::net"),
            Self::Option(_) | Self::Vec(_) | Self::Map(..) => true,
            _ => false,
        }
    }
}

#[derive(Clone)]
struct Field {
    name: String,
    ty: Ty,
    /// The options in `#[serde(...)]`.
    attributes: Vec<String>,
}

#[derive(Clone)]
enum Body {
    Unit,
    Newtype(Ty),
    Tuple(Vec<Ty>),
    Fields(Vec<Field>),
}

#[derive(Clone)]
struct Variant {
    name: String,
    body: Body,
    attributes: Vec<String>,
}

#[derive(Clone)]
enum Item {
    Struct { body: Body, attributes: Vec<String> },
    Enum { variants: Vec<Variant>, tag: usize, attributes: Vec<String> },
}

const CASES: [&str; 4] = ["camelCase", "PascalCase", "kebab-case", "SCREAMING_SNAKE_CASE"];
const EXTERNAL: usize = 0;
const INTERNAL: usize = 1;
const ADJACENT: usize = 2;
const UNTAGGED: usize = 3;

fn maybe(random: &mut Random, n: usize, to: &mut Vec<String>, text: impl FnOnce(&mut Random) -> String) {
    if random.one_in(n) {
        let text = text(random);
        to.push(text);
    }
}

impl Field {
    fn any(random: &mut Random, item: usize, index: usize, items: &[Item]) -> Self {
        let mut attributes = Vec::new();
        let mut ty = Ty::any(random, items, 0);
        if (index % 10 == 1 && random.one_in(2) || random.wild_in(6))
            && let Some(flattened) = flattened(random, items)
        {
            return Self {
                name: format!("flat_{item}_{index}"),
                ty: flattened,
                attributes: vec!["flatten".into()],
            };
        }
        if random.one_in(6) {
            ty = Ty::Option(Box::new(ty));
        }
        if matches!(ty, Ty::Option(_)) {
            maybe(random, 3, &mut attributes, |_| "skip_serializing_if = \"Option::is_none\"".into());
        } else {
            maybe(random, 10, &mut attributes, |_| "skip_serializing_if = \"at_times\"".into());
        }
        // If a user's function leaves out a `Box<Option<_>>`, the field is read as `None`. `reads_itself` documents this
        // exception, so types that are compared with themselves have no such field. No field of type `Option` has
        // such a function.
        if random.wild && ty.is_boxed_option() {
            attributes.retain(|text| !text.contains("at_times"));
        }
        maybe(random, 12, &mut attributes, |_| format!("rename = \"renamed_{item}_{index}\""));
        if random.wild_in(6)
            && let Some(left_out) = left_out(random, &ty)
        {
            let name = format!("some_field_{item}_{index}");
            return Self { name, ty, attributes: vec![left_out.into()] };
        }
        if random.wild_in(4) {
            attributes.clear();
            let name = random.pick(&["shared", "sharedToo"]);
            let near = format!("some_field_{item}_{}", index ^ 1);
            match random.below(8) {
                0 => attributes.push(format!("rename = \"{name}\"")),
                1 => attributes.push(format!("alias = \"{near}\"")),
                2 => attributes.push(format!("rename(serialize = \"{name}\")")),
                3 => attributes.push(format!("rename(deserialize = \"{name}\"), alias = \"{name}_too\"")),
                4 => attributes.push("skip_serializing".into()),
                5 if ty.has_default() => attributes.push("skip_deserializing".into()),
                6 if ty.has_default() => attributes.push("default, skip_serializing".into()),
                7 if ty.has_default() => {
                    attributes.push("default, skip_serializing_if = \"is_default\"".into())
                }
                _ => attributes.push(format!("alias = \"{name}\"")),
            }
        }
        Self { name: format!("some_field_{item}_{index}"), ty, attributes }
    }

    fn changed(&self, random: &mut Random, items: &[Item]) -> Self {
        let mut field = self.clone();
        if field.attributes.iter().any(|text| text == "flatten") {
            if random.one_in(3)
                && let Some(ty) = flattened(random, items)
            {
                field.ty = ty;
            }
            return field;
        }
        if random.one_in(6) {
            field.ty = field.ty.changed(random, items);
        }
        field.attributes.retain(|text| text.starts_with("rename"));
        if field.ty.has_default() {
            maybe(random, 4, &mut field.attributes, |_| "default".into());
        }
        maybe(random, 20, &mut field.attributes, |_| format!("alias = \"{}\"", self.name));
        if field.attributes.iter().all(|text| !text.starts_with("rename")) {
            maybe(random, 16, &mut field.attributes, |_| {
                format!("rename(deserialize = \"elsewhere_{}\")", self.name)
            });
        }
        if field.ty.has_default() {
            maybe(random, 20, &mut field.attributes, |_| "skip_deserializing".into());
        }
        field
    }

    /// A field that is left out exactly if it has the value that is read for a missing field.
    fn sample(&self) -> String {
        let left_out = |text: &String| {
            text.starts_with("skip_deserializing")
                || text == "default, skip_serializing"
                || text == "skip_serializing" && matches!(self.ty, Ty::Option(_))
        };
        let value = match self.attributes.iter().any(left_out) && self.ty.has_default() {
            true => "Default::default()",
            false => "Sample::sample(r)",
        };
        format!("{}: {value}, ", self.name)
    }

    fn write(&self, code: &mut String, side: char) {
        for attribute in &self.attributes {
            write!(code, "#[serde({attribute})] ").unwrap();
        }
        write!(code, "{}: {}, ", self.name, self.ty.text(side)).unwrap();
    }
}

/// A field that may be left out, and the function that returns its default, which always or never returns the value
/// that was left out.
fn left_out(random: &mut Random, ty: &Ty) -> Option<&'static str> {
    let legal = "default = \"first\", skip_serializing_if = \"is_first\"";
    Some(match (ty, random.below(3)) {
        (Ty::Option(_), 0) => "default = \"filled\", skip_serializing_if = \"Option::is_none\"",
        (Ty::Option(_), 1) => "default = \"Option::default\", skip_serializing_if = \"Option::is_none\"",
        (Ty::Vec(_), 0) => "default = \"filled\", skip_serializing_if = \"Vec::is_empty\"",
        (Ty::Vec(_), 1) => "default = \"Vec::new\", skip_serializing_if = \"Vec::is_empty\"",
        (Ty::Map(..), 0) => {
            "default = \"filled\", skip_serializing_if = \"std::collections::BTreeMap::is_empty\""
        }
        (Ty::Map(..), 1) => {
            "default = \"Default::default\", skip_serializing_if = \"std::collections::BTreeMap::is_empty\""
        }
        (Ty::Plain("bool"), 0) => "default = \"yes\", skip_serializing_if = \"std::ops::Not::not\"",
        (Ty::Plain("bool"), 1) => "default, skip_serializing_if = \"std::ops::Not::not\"",
        // For an `Option<()>`, this would leave out the value that has no text different from `None`.
        (Ty::Vec(_) | Ty::Map(..) | Ty::Plain(_), 2) => legal,
        _ => return None,
    })
}

/// A type that serde can flatten.
fn flattened(random: &mut Random, items: &[Item]) -> Option<Ty> {
    if random.wild_in(3) {
        let inner = match random.below(5) {
            0 => Ty::Plain("serde_json::Value"),
            1 => Ty::Map(key(random), Box::new(Ty::any(random, items, 2))),
            _ => {
                let has_parts = |item: &Item| {
                    matches!(item, Item::Enum { .. } | Item::Struct { body: Body::Fields(_), .. })
                };
                let all: Vec<usize> = (0..items.len()).filter(|index| has_parts(&items[*index])).collect();
                if all.is_empty() {
                    return None;
                }
                Ty::Item(random.pick(&all))
            }
        };
        return Some(if random.one_in(3) { Ty::Option(Box::new(inner)) } else { inner });
    }
    if random.one_in(4) {
        return Some(Ty::Map("String", Box::new(Ty::Plain(random.pick(&PLAIN)))));
    }
    let fits = |item: &Item| match item {
        Item::Struct { body: Body::Fields(fields), .. } => {
            fields.iter().all(|field| !field.attributes.iter().any(|text| text == "flatten"))
        }
        Item::Enum { tag, variants, .. } => {
            (*tag == INTERNAL || *tag == ADJACENT)
                && variants.iter().all(|variant| matches!(variant.body, Body::Unit | Body::Fields(_)))
        }
        _ => false,
    };
    let fitting: Vec<usize> = (0..items.len()).filter(|index| fits(&items[*index])).collect();
    match fitting.is_empty() {
        true => None,
        false => Some(Ty::Item(random.pick(&fitting))),
    }
}

impl Body {
    fn any(random: &mut Random, item: usize, name: usize, items: &[Item], tag: usize) -> Self {
        let newtypes = random.wild;
        match random.below(if tag != INTERNAL {
            9
        } else if newtypes {
            8
        } else {
            6
        }) {
            0 | 1 => Self::Unit,
            2..6 => {
                let count = if tag == UNTAGGED { 1 + random.below(3) } else { random.below(6) };
                Self::Fields((0..count).map(|n| Field::any(random, item, name * 10 + n, items)).collect())
            }
            6 | 7 => Self::Newtype(Ty::any(random, items, 0)),
            _ => Self::Tuple((0..2 + random.below(2)).map(|_| Ty::any(random, items, 1)).collect()),
        }
    }

    fn changed(&self, random: &mut Random, item: usize, items: &[Item]) -> Self {
        match self {
            Self::Unit => Self::Unit,
            Self::Newtype(ty) => Self::Newtype(ty.changed(random, items)),
            Self::Tuple(all) if random.one_in(3) => Self::Fields(
                all.iter()
                    .enumerate()
                    .map(|(n, ty)| Field {
                        name: format!("item_{n}"),
                        ty: ty.clone(),
                        attributes: Vec::new(),
                    })
                    .collect(),
            ),
            Self::Tuple(all) => Self::Tuple(all.iter().map(|ty| ty.changed(random, items)).collect()),
            Self::Fields(fields) => {
                let mut fields: Vec<_> = fields.iter().map(|field| field.changed(random, items)).collect();
                if random.one_in(5) && !fields.is_empty() {
                    fields.remove(random.below(fields.len()));
                }
                if random.one_in(6) {
                    let mut field = Field::any(random, item, 99, items);
                    if field.ty.has_default() && !random.one_in(3) {
                        field.attributes.push("default".into());
                    }
                    fields.push(field);
                }
                Self::Fields(fields)
            }
        }
    }

    fn write(&self, code: &mut String, side: char, end: &str) {
        match self {
            Self::Unit => code.push_str(end),
            Self::Newtype(ty) => write!(code, "({}){end}", ty.text(side)).unwrap(),
            Self::Tuple(all) => {
                let all: String = all.iter().map(|ty| ty.text(side) + ", ").collect();
                write!(code, "({all}){end}").unwrap();
            }
            Self::Fields(fields) => {
                code.push_str(" { ");
                fields.iter().for_each(|field| field.write(code, side));
                code.push('}');
                code.push_str(if end == ";" { "" } else { end });
            }
        }
    }

    fn sample(&self) -> String {
        match self {
            Self::Unit => String::new(),
            Self::Newtype(_) => "(Sample::sample(r))".into(),
            Self::Tuple(all) => format!("({})", "Sample::sample(r), ".repeat(all.len())),
            Self::Fields(fields) => {
                let all: String = fields.iter().map(Field::sample).collect();
                format!(" {{ {all} }}")
            }
        }
    }
}

/// The attributes of a variant.
fn wild_variant(random: &mut Random, n: usize, count: usize, tag: usize) -> Vec<String> {
    if n > 0 && n + 1 == count && tag != UNTAGGED && random.wild_in(4) {
        return vec!["untagged".into()];
    }
    if !random.wild_in(8) {
        return Vec::new();
    }
    vec![match random.below(6) {
        0 => "rename = \"shared\"".into(),
        1 => format!("alias = \"SomeVariant{}\"", n ^ 1),
        2 => "rename(serialize = \"shared\")".into(),
        3 => "rename(deserialize = \"sharedToo\"), alias = \"shared\"".into(),
        4 => "skip_deserializing".into(),
        _ => "skip_serializing".into(),
    }]
}

impl Item {
    fn any(random: &mut Random, index: usize, items: &[Item]) -> Self {
        let mut attributes = Vec::new();
        maybe(random, 4, &mut attributes, |random| format!("rename_all = \"{}\"", random.pick(&CASES)));
        if random.one_in(2) {
            let body = match random.below(8) {
                0 => Body::Newtype(Ty::any(random, items, 0)),
                1 => Body::Tuple((0..2 + random.below(2)).map(|_| Ty::any(random, items, 0)).collect()),
                _ => {
                    Body::Fields((0..random.below(6)).map(|n| Field::any(random, index, n, items)).collect())
                }
            };
            if !matches!(body, Body::Fields(_)) {
                attributes.clear();
            } else {
                if random.wild_in(5) {
                    attributes.push("deny_unknown_fields".into());
                }
                if random.wild_in(8) {
                    attributes.push("tag = \"shared\"".into());
                }
            }
            return Self::Struct { body, attributes };
        }
        let tag = random.below(4);
        match tag {
            INTERNAL if random.wild_in(3) => attributes.push("tag = \"sharedTag\"".into()),
            INTERNAL => attributes.push(format!("tag = \"kind_{index}\"")),
            ADJACENT => attributes.push(format!("tag = \"kind_{index}\", content = \"content_{index}\"")),
            UNTAGGED => attributes.push("untagged".into()),
            _ => {}
        }
        if tag != UNTAGGED {
            maybe(random, 4, &mut attributes, |random| {
                format!("rename_all_fields = \"{}\"", random.pick(&CASES))
            });
        }
        let count = 1 + random.below(4);
        let variants = (0..count).map(|n| {
            let body = match tag == UNTAGGED && random.wild_in(3) {
                true => Body::Newtype(Ty::Plain(random.pick(&TEXTS))),
                false => Body::any(random, index, n, items, tag),
            };
            let is_last_unit = matches!(body, Body::Unit) && n + 1 == count;
            let attributes = match is_last_unit && tag != UNTAGGED && random.wild_in(2) {
                true => vec!["other".into()],
                false => wild_variant(random, n, count, tag),
            };
            Variant { name: format!("SomeVariant{n}"), body, attributes }
        });
        let variants = variants.collect();
        if random.wild_in(6) {
            attributes.push("deny_unknown_fields".into());
        }
        Self::Enum { variants, tag, attributes }
    }

    fn changed(&self, random: &mut Random, index: usize, items: &[Item]) -> Self {
        match self {
            Self::Struct { body, attributes } => {
                let mut attributes = attributes.clone();
                let body = body.changed(random, index, items);
                let flattens = |field: &Field| field.attributes.iter().any(|text| text == "flatten");
                if matches!(&body, Body::Fields(fields) if !fields.iter().any(flattens)) {
                    maybe(random, 5, &mut attributes, |_| "deny_unknown_fields".into());
                }
                Self::Struct { body, attributes }
            }
            Self::Enum { variants, tag, attributes } => {
                let (mut variants, mut attributes, mut tag) = (variants.clone(), attributes.clone(), *tag);
                for variant in &mut variants {
                    if random.one_in(4) {
                        variant.body = variant.body.changed(random, index, items);
                    }
                    if tag != UNTAGGED {
                        maybe(random, 12, &mut variant.attributes, |_| {
                            format!("rename = \"renamed_{}\"", variant.name)
                        });
                        maybe(random, 12, &mut variant.attributes, |_| {
                            format!("alias = \"{}\"", variant.name)
                        });
                    }
                }
                if random.one_in(4) && variants.len() > 1 {
                    variants.remove(random.below(variants.len()));
                }
                if random.one_in(4) {
                    let body = Body::any(random, index, 9, items, tag);
                    variants.push(Variant { name: "New".into(), body, attributes: Vec::new() });
                }
                if tag != UNTAGGED && random.one_in(5) {
                    let attributes = vec!["other".into()];
                    variants.push(Variant { name: "Other".into(), body: Body::Unit, attributes });
                } else if random.one_in(8)
                    && variants.iter().all(|variant| matches!(variant.body, Body::Unit | Body::Fields(_)))
                {
                    // The same variants under another kind of tag.
                    attributes.retain(|text| !text.contains("tag"));
                    tag = random.pick(&[EXTERNAL, UNTAGGED]);
                    if tag == UNTAGGED {
                        attributes.push("untagged".into());
                        variants.iter_mut().for_each(|variant| variant.attributes.clear());
                    }
                }
                if tag != UNTAGGED && tag != EXTERNAL {
                    maybe(random, 8, &mut attributes, |_| "deny_unknown_fields".into());
                }
                Self::Enum { variants, tag, attributes }
            }
        }
    }

    fn write(&self, code: &mut String, side: char, index: usize) {
        writeln!(code, "#[derive(Debug, Serialize, Deserialize, Schema)]").unwrap();
        let (Self::Struct { attributes, .. } | Self::Enum { attributes, .. }) = self;
        for attribute in attributes {
            writeln!(code, "#[serde({attribute})]").unwrap();
        }
        match self {
            Self::Struct { body, .. } => {
                write!(code, "struct {side}{index}").unwrap();
                body.write(code, side, ";");
            }
            Self::Enum { variants, .. } => {
                write!(code, "enum {side}{index} {{ ").unwrap();
                for variant in variants {
                    for attribute in &variant.attributes {
                        write!(code, "#[serde({attribute})] ").unwrap();
                    }
                    code.push_str(&variant.name);
                    variant.body.write(code, side, ", ");
                }
                code.push('}');
            }
        }
        code.push('\n');
    }

    fn write_sample(&self, code: &mut String, side: char, index: usize) {
        let made = match self {
            Self::Struct { body, .. } => format!("{side}{index}{}", body.sample()),
            Self::Enum { variants, .. } => {
                let arms: String = variants
                    .iter()
                    .enumerate()
                    .map(|(n, variant)| {
                        format!("{n} => {side}{index}::{}{}, ", variant.name, variant.body.sample())
                    })
                    .collect();
                format!("match r.below({}) {{ {arms} _ => unreachable!() }}", variants.len())
            }
        };
        writeln!(
            code,
            "impl Sample for {side}{index} {{ fn sample(r: &mut Random) -> Self {{ let _ = &r; {made} }} }}"
        )
        .unwrap();
    }
}
