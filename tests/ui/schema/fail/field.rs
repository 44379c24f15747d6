use typed_events::Schema;

pub struct Foreign;

#[derive(Schema)]
pub struct Address {
    pub city: String,
    pub place: Foreign,
}

#[derive(Schema)]
pub enum Contact {
    Mail(String),
    Other { what: Option<Foreign> },
}

#[derive(Schema)]
pub union Bits {
    pub int: u32,
    pub float: f32,
}

fn main() {}
