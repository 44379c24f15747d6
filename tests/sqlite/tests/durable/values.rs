//! Values are read back from the file bit for bit.

use typed_events::{event, payload};

use crate::File;

#[event("values.floats")]
#[derive(PartialEq)]
pub struct Floats {
    pub wide: Vec<f64>,
    pub narrow: Vec<f32>,
}

#[payload]
#[derive(PartialEq)]
#[serde(tag = "kind")]
pub enum Tagged {
    Buffered { wide: Vec<f64>, narrow: Vec<f32> },
}

#[event("values.tagged")]
#[derive(PartialEq)]
pub struct TaggedFloats {
    #[serde(flatten)]
    pub tagged: Tagged,
}

const EVENTS: usize = 1_000;
const EACH: usize = 1_000;

/// One of the few `f32` whose shortest text is another number if it is read as `f64` and then narrowed.
const ROUNDED_TWICE: f32 = 7.038531e-26;

/// Pseudorandom bit patterns (splitmix64).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn floats(&mut self) -> (Vec<f64>, Vec<f32>) {
        let wide = std::iter::repeat_with(|| f64::from_bits(self.next())).filter(|float| float.is_finite());
        let wide: Vec<_> = wide.take(EACH).collect();
        let narrow =
            std::iter::repeat_with(|| f32::from_bits(self.next() as u32)).filter(|float| float.is_finite());
        (wide, std::iter::once(ROUNDED_TWICE).chain(narrow).take(EACH).collect())
    }
}

fn same_bits(one: (&[f64], &[f32]), other: (&[f64], &[f32])) -> bool {
    one.0.iter().map(|float| float.to_bits()).eq(other.0.iter().map(|float| float.to_bits()))
        && one.1.iter().map(|float| float.to_bits()).eq(other.1.iter().map(|float| float.to_bits()))
}

/// 1,000,000 `f64` and as many `f32`, half of them in a flattened or tagged enum, which serde buffers.
#[tokio::test(flavor = "multi_thread")]
async fn v5_floats_come_back_from_the_file_with_the_same_bits() {
    let file = File::new();
    let mut bits = Bits(5);
    let bus = file.builder().build().await.unwrap();
    for _ in 0..EVENTS / 2 {
        let (wide, narrow) = bits.floats();
        bus.emit(Floats { wide, narrow }).await.unwrap();
        let (wide, narrow) = bits.floats();
        bus.emit(TaggedFloats { tagged: Tagged::Buffered { wide, narrow } }).await.unwrap();
    }
    bus.stop().await.unwrap();
    drop(bus);

    let bus = file.builder().build().await.unwrap();
    let mut bits = Bits(5);
    let plain = bus.history("values.floats").limit(EVENTS).of::<Floats>().await.unwrap();
    let tagged = bus.history("values.tagged").limit(EVENTS).of::<TaggedFloats>().await.unwrap();
    assert_eq!((plain.len(), tagged.len()), (EVENTS / 2, EVENTS / 2));
    let mut changed = 0;
    for (plain, tagged) in plain.iter().zip(tagged.iter()) {
        let (wide, narrow) = bits.floats();
        changed += usize::from(!same_bits((&wide, &narrow), (&plain.wide, &plain.narrow)));
        let (wide, narrow) = bits.floats();
        let Tagged::Buffered { wide: read, narrow: read_narrow } = &tagged.tagged;
        changed += usize::from(!same_bits((&wide, &narrow), (read, read_narrow)));
    }
    assert_eq!(changed, 0, "of {EVENTS} events");
    bus.stop().await.unwrap();
}
