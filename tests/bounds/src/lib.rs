//! Shared by the tests of memory and cost.

use tokio::runtime::{Builder, Runtime};
use typed_events::{Bus, BusBuilder};

/// A runtime on the test's own thread, so that the allocator counts all that happens in it.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A bus that writes nothing to stderr.
pub fn bus(runtime: &Runtime, builder: BusBuilder) -> Bus {
    runtime.block_on(builder.quiet().build()).unwrap()
}

/// Returns whether the bytes that `work` allocates grow no faster than its size. Prints both.
pub fn is_linear(what: &str, work: impl Fn(usize)) -> bool {
    let bytes = |size| allocation_counter::measure(|| work(size)).bytes_total as f64;
    // Don't count memory that is allocated once, such as the registry of events.
    bytes(10);
    let (small, large) = (bytes(500), bytes(4_000));
    println!("{what}: {small} bytes for 500, {large} for 4,000");
    large < small * 12.0
}

/// Random numbers that a seed repeats.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// Returns a size that is mostly small and sometimes large.
    pub fn size(&mut self) -> usize {
        let largest = [4, 16, 64, 400, 8_000][self.below(5)];
        self.below(largest)
    }
}
