//! The allocations are counted in `allocations.rs`.
