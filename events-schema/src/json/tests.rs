//! Comparisons of the reader with serde_json's, on JSON and on damaged JSON.

use serde_json::Value;

use super::{ReadProblem, field, from_str, to_string};

struct Random(u64);

impl Random {
    fn below(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % max
    }

    fn bits(&mut self) -> u64 {
        (self.below(1 << 30) as u64) << 34 ^ (self.below(1 << 30) as u64) << 17 ^ self.below(1 << 30) as u64
    }

    fn json(&mut self, depth: usize, out: &mut String) {
        const LEAVES: [&str; 22] = [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "1.5",
            "-0.0",
            "1e3",
            "2E-7",
            "117.63331139400017",
            "\"\"",
            "\"a\\u00e9\\ud83d\\ude00\\n\"",
            "\"\\\\\"",
            "\"é漢\"",
            "[]",
            "{}",
        ];
        let space = ["", "", "", " ", "\n\t"][self.below(5)];
        out.push_str(space);
        match self.below(if depth > 4 { 1 } else { 3 }) {
            0 => out.push_str(LEAVES[self.below(LEAVES.len())]),
            1 => {
                out.push('[');
                for index in 0..self.below(4) {
                    out.push_str(if index > 0 { "," } else { "" });
                    self.json(depth + 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for index in 0..self.below(4) {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(["\"a\":", "\"b\" :", "\"\\u0061x\": "][self.below(3)]);
                    self.json(depth + 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(space);
    }
}

/// Returns the text with one byte removed, repeated or replaced.
fn broken(random: &mut Random, json: &str) -> String {
    let mut bytes = json.as_bytes().to_vec();
    let at = random.below(bytes.len());
    match random.below(3) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, bytes[at]),
        _ => bytes[at] = b"{}[],:\"\\0-.eE+tn \x01u"[random.below(19)],
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn values_are_read_as_serde_json_reads_them() {
    let mut random = Random(1);
    for _ in 0..40_000 {
        let mut json = String::new();
        random.json(0, &mut json);
        if random.below(2) == 0 {
            json = broken(&mut random, &json);
        }
        let (ours, theirs) = (from_str::<Value>(&json), serde_json::from_str::<Value>(&json));
        match (ours, theirs) {
            // serde_json may round a float differently, so values whose texts differ little in length are accepted.
            (Ok(ours), Ok(theirs)) => {
                let close =
                    |a: &Value, b: &Value| a == b || a.to_string().len().abs_diff(b.to_string().len()) < 20;
                assert!(close(&ours, &theirs), "{json}: {ours} {theirs}");
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{json}: {ours:?} {theirs:?}"),
        }
    }
}

#[test]
fn floats_come_back_bit_for_bit() {
    let mut random = Random(2);
    for _ in 0..300_000 {
        let bits = random.bits();
        let wide = f64::from_bits(bits);
        if wide.is_finite() {
            let json = to_string(&wide).unwrap();
            assert_eq!(from_str::<f64>(&json).unwrap().to_bits(), bits, "{json}");
            assert_eq!(from_str::<Value>(&json).unwrap().as_f64().unwrap().to_bits(), bits, "{json}");
        }
        let narrow = f32::from_bits(bits as u32);
        if narrow.is_finite() {
            let json = to_string(&narrow).unwrap();
            assert_eq!(from_str::<f32>(&json).unwrap().to_bits(), bits as u32, "{json}");
            assert_eq!((json.parse::<f64>().unwrap() as f32).to_bits(), bits as u32, "{json}");
        }
    }
    // The shortest text of this `f32`, read as an `f64` first, would become another `f32`.
    let json = to_string(&7.038531e-26_f32).unwrap();
    assert_eq!(json.parse::<f64>().unwrap() as f32, 7.038531e-26_f32);
}

#[test]
fn the_deepest_that_is_written_is_read() {
    let nested = |depth: usize| (0..depth).fold(Value::from(1), |value, _| Value::Array(vec![value]));
    let json = to_string(&nested(127)).unwrap();
    assert_eq!(from_str::<Value>(&json).unwrap(), nested(127));
    let error = to_string(&nested(128)).unwrap_err().to_string();
    assert!(error.starts_with("[0][0]") && error.ends_with("...: nested deeper than 127"), "{error}");
    let deeper = format!("[{json}]");
    assert_eq!(from_str::<Value>(&deeper).unwrap_err().problem(), &ReadProblem::TooDeep);
    assert!(serde_json::from_str::<Value>(&json).is_ok() && serde_json::from_str::<Value>(&deeper).is_err());
    // The limit also applies to values that are skipped, and to values that serde_json writes.
    assert!(from_str::<serde_core::de::IgnoredAny>(&deeper).is_err());
    let raw = |json: &str| serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
    assert_eq!(to_string(&raw(&json)).unwrap(), json);
    assert!(to_string(&raw(&deeper)).is_err() && to_string(&[raw(&json)]).is_err());
    assert_eq!(
        from_str::<Box<serde_json::value::RawValue>>(" [1.50, \"\\u0061\"] ").unwrap().get(),
        "[1.50, \"\\u0061\"]"
    );
}

#[test]
fn a_field_is_found_as_text() {
    let json = r#" {"a": [1, {"b": 2}], "\u0062": "x" , "c":18446744073709551616}"#;
    assert_eq!(field(json, "a"), Some(r#"[1, {"b": 2}]"#));
    assert_eq!(field(json, "b"), Some("\"x\""));
    assert_eq!(field(json, "c"), Some("18446744073709551616"));
    assert_eq!(field(json, "d"), None);
    assert_eq!(field("[1]", "a"), None);
}
