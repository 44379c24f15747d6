use typed_events::event;

#[event("user.created")]
pub struct UserCreated {
    pub id: uuid::Uuid,
    pub at: chrono::DateTime<chrono::Utc>,
    pub prices: Vec<rust_decimal::Decimal>,
}

fn main() {}
