pub mod breaks;
pub mod calls;
pub mod laws;
pub mod program;
pub mod search;
pub mod store;
