use typed_events::{Schema, event, payload};

#[event("user.created")]
pub struct UserCreated {
    #[event(secert)]
    pub misspelt: String,
    #[event(secret = true)]
    pub with_value: String,
    #[event(opaque("text"))]
    pub with_text: String,
    #[event]
    pub nothing: String,
    #[event = "secret"]
    pub equals: String,
    #[event("secret")]
    pub quoted: String,
    #[event(secret opaque)]
    pub no_comma: String,
    #[event(skip)]
    pub unknown: String,
    #[schema(opaque)]
    pub of_schema: String,
    #[payload(secret)]
    pub of_payload: String,
    #[event(changed = "for a reason")]
    pub of_the_lock: String,
}

#[event("user.deleted")]
pub enum UserDeleted {
    #[event(secret)]
    ByAdmin(String),
    #[event(opaque)]
    ByProgram(Other),
    #[event(secret)]
    ByUser { password: String },
    #[event(secret)]
    ByNobody,
}

#[payload]
pub struct Part {
    #[event(opaqe)]
    pub misspelt: Other,
}

#[derive(Schema)]
pub struct Derived {
    #[schema(opaqe)]
    pub misspelt: Other,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Other;

fn main() {}
