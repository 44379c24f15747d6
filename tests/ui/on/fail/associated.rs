use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

pub struct Mailer;

impl Mailer {
    #[on]
    fn welcome(_: &UserCreated) {}

    #[on("user.created")]
    async fn later(user: &UserCreated, mailer: &Mailer) -> Result<(), String> {
        let _ = (user, mailer);
        Ok(())
    }

    fn method(&self) {
        #[on]
        fn inside(_: &UserCreated) {}
    }
}

trait Welcome {
    #[on]
    fn provided(_: &UserCreated) {}

    #[on]
    fn required(_: &UserCreated);
}

impl Welcome for Mailer {
    #[on]
    fn required(_: &UserCreated) {}
}

macro_rules! mailer {
    () => {
        impl Mailer {
            #[on]
            fn build(_: &UserCreated) -> Self {
                Self
            }
        }
    };
}
mailer!();

fn main() {}
