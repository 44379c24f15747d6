//! Names that two have, and names that are written and not read.

use typed_events::{event, payload};

#[event("a.renamed")]
struct Renamed {
    #[serde(rename(serialize = "x", deserialize = "y"))]
    id: u64,
}

#[event("a.renamed_all")]
#[serde(rename_all(serialize = "camelCase"))]
struct RenamedAll {
    id: u64,
    user_id: u64,
}

#[event("a.twice")]
struct Twice {
    #[serde(rename = "id")]
    user: u64,
    id: u64,
}

#[event("a.alias")]
struct Alias {
    #[serde(alias = "id")]
    user: u64,
    id: u64,
}

#[event("a.aliases")]
struct Aliases {
    #[serde(alias = "key")]
    user: u64,
    #[serde(alias = "key")]
    id: u64,
}

#[event("a.tagged")]
#[serde(tag = "type")]
struct Tagged {
    r#type: u64,
}

#[payload]
enum Variants {
    #[serde(rename = "B")]
    A,
    B,
}

#[payload]
#[serde(tag = "kind", rename_all = "lowercase")]
enum VariantCase {
    Userid,
    UserId,
}

#[payload]
enum VariantAlias {
    #[serde(alias = "B")]
    A,
    B,
}

#[payload]
enum Written {
    A,
    #[serde(skip_deserializing)]
    B,
}

#[payload]
struct Moved(u8, #[serde(skip_serializing)] u8);

#[payload]
#[serde(into = "String")]
struct Into {
    id: u64,
}

impl From<Into> for String {
    fn from(from: Into) -> Self {
        from.id.to_string()
    }
}

#[payload]
#[serde(into = "Same")]
struct IntoSame {
    id: u64,
}

#[payload]
struct Same {
    id: u64,
}

impl From<IntoSame> for Same {
    fn from(from: IntoSame) -> Self {
        Self { id: from.id }
    }
}

fn main() {}
