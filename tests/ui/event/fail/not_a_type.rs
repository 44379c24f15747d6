use typed_events::event;

#[event("user.created")]
fn user_created() {}

#[event("user.deleted")]
pub union UserDeleted {
    pub id: u64,
}

#[event("user.updated")]
impl Other {}

pub struct Other;

fn main() {}
