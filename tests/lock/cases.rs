//! Changes that need a reason or a new version, and the files of the lock folder.

use super::project::{CREATED, Project, assert_said};

/// Functions that serde calls, of which the lock knows only the names.
const CODE: &str = "
pub mod seconds {
    use typed_events::__private::serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*value)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::deserialize(deserializer)
    }
    pub fn is_zero(value: &u64) -> bool {
        *value == 0
    }
    pub fn five() -> u64 {
        5
    }
    pub fn six() -> u64 {
        6
    }
    pub fn some() -> Option<u8> {
        Some(1)
    }
}
pub mod millis {
    pub use super::seconds::{deserialize, serialize};
}
";

const BREAKS: &str = "`user.created` breaks its lock (version 1): ";

const NOTHING_SHOWS: &str = "code that the lock can't check writes or reads it: ";

/// A project whose source is changed in different ways, one after the other, and checked by cargo.
struct Tried {
    project: Project,
    source: String,
}

impl Tried {
    fn new(name: &str, source: &str) -> Self {
        let source = format!("{source}{CODE}");
        Self { project: Project::locked(name, &source), source }
    }

    fn change(&self, from: &str, to: &str) -> String {
        assert!(self.source.contains(from), "{from}");
        self.source.replacen(from, to, 1)
    }

    fn refused(&self, from: &str, to: &str, message: &str, place: &str) {
        self.project.source(&self.change(from, to));
        self.project.check_refused(&format!("{BREAKS}{message}"), place);
    }

    fn accepted(&self, from: &str, to: &str) {
        self.project.source(&self.change(from, to));
        self.project.check().unwrap_or_else(|said| panic!("{from} -> {to}: {said}"));
    }
}

#[test]
fn l1_code_that_comes_goes_or_becomes_opaque_needs_a_reason() {
    let tried = Tried::new(
        "l1-code",
        "#[event(\"user.created\")]
pub struct UserCreated {
    pub at: u64,
    #[serde(with = \"seconds\")]
    pub seen: u64,
    pub id: u64,
}
",
    );
    let at = "    pub at: u64,";
    for (attribute, code) in [
        ("#[serde(with = \"seconds\")]", "with seconds: u64"),
        (
            "#[serde(deserialize_with = \"seconds::deserialize\")]",
            "deserialize_with seconds::deserialize: u64",
        ),
        ("#[serde(serialize_with = \"seconds::serialize\")]", "serialize_with seconds::serialize: u64"),
        ("#[event(opaque)]", "u64"),
    ] {
        tried.refused(
            at,
            &format!("    {attribute}\n{at}"),
            &format!(".at: {NOTHING_SHOWS}`{code}` was added; restore it, declare `version = 2`, or give a reason: `#[event(changed = \"...\")]` on the field"),
            "--> src/lib.rs:7:9",
        );
    }
    tried.refused(
        "    pub id: u64,",
        "    #[event(opaque)]\n    pub id: String,",
        &format!(".id: {NOTHING_SHOWS}`String` was added"),
        "--> src/lib.rs:10:9",
    );
    tried.refused(
        "    #[serde(with = \"seconds\")]\n",
        "",
        &format!(".seen: {NOTHING_SHOWS}`with seconds: u64` was removed"),
        "--> src/lib.rs:7:9",
    );
}

#[test]
fn l1_a_secret_that_is_shown_needs_a_reason() {
    let tried = Tried::new(
        "l1-secret",
        "#[event(\"user.created\")]
pub struct UserCreated {
    #[event(secret)]
    pub password: String,
    pub token: Option<Token>,
    pub parts: Vec<Part>,
    #[event(secret)]
    pub hint: Option<String>,
}

#[payload(secret)]
pub struct Token(String);

#[payload]
pub struct Part {
    #[event(secret)]
    pub pin: Option<u8>,
}
",
    );
    let shown = "it was secret, but would be shown now; restore it, declare `version = 2`, or give a reason: `#[event(changed = \"...\")]` on the field";
    tried.refused(
        "    #[event(secret)]\n    pub password",
        "    pub password",
        &format!(".password: {shown}"),
        "--> src/lib.rs:6:9",
    );
    tried.refused("#[payload(secret)]", "#[payload]", &format!(".token: {shown}"), "--> src/lib.rs:8:9");
    tried.refused(
        "    #[event(secret)]\n    pub pin",
        "    pub pin",
        &format!(".parts[].pin: {shown}"),
        "--> src/lib.rs:9:9",
    );
    // A removed field stays in the JSON of old records.
    tried.refused(
        "    #[event(secret)]\n    pub hint: Option<String>,\n",
        "",
        "the secret field `hint` is gone, so old records would show its value; restore it, declare `version = 2`, or give a reason: `changed = \"...\"` after the event's name",
        "--> src/lib.rs:5:12",
    );
    // A secret that moves into a secret type, or is renamed and still read, stays secret.
    tried.accepted("    #[event(secret)]\n    pub hint: Option<String>,", "    pub hint: Option<Token>,");
    tried.accepted("pub parts: Vec<Part>", "#[event(secret)]\n    pub parts: Vec<Part>");
}

#[test]
fn l1_less_compatibility_needs_a_reason_also_beside_the_break_it_allows() {
    let tried = Tried::new("l1-weaker", CREATED);
    let weaker = "its compatibility was `full`, and `backward` promises less; restore it, declare `version = 2`, or give a reason: `changed = \"...\"` after the event's name";
    tried.refused("\")]", "\", compatibility = backward)]", weaker, "--> src/lib.rs:4:41");
    let both = tried.change("id: u32", "id: u64");
    let both = both.replacen("\")]", "\", compatibility = backward)]", 1);
    tried.project.source(&both);
    tried.project.check_refused(&format!("{BREAKS}{weaker}"), "--> src/lib.rs:4:41");
    tried.project.source(&both.replacen(
        "backward)]",
        "backward, changed = \"one reader, deployed first\")]",
        1,
    ));
    tried.project.check().unwrap();
    tried.project.write_lock().unwrap();
    tried.project.test().unwrap();
    let text = tried.project.read("events.lock/user.created");
    assert_said(&text, "version 1 = UserCreated\nchanged = \"one reader, deployed first\"\n");
    assert_said(&text, "compatibility backward\n");
}

#[test]
fn l1_a_reason_is_that_of_one_change() {
    let tried = Tried::new("l1-reason", CREATED);
    let project = &tried.project;
    let id = "    pub id: u32,";
    let with = |reason: &str, field: &str| {
        tried.change(id, &format!("    #[event(changed = \"{reason}\")]\n    {field}"))
    };
    // Nothing has changed yet, so the reason would allow the next change.
    project.source(&with("for later", "pub id: u32,"));
    project.check_refused(
        "`user.created` (version 1) has not changed in a way that needs a reason: remove `changed = \"for later\"`, because it would permit the next change",
        "--> src/lib.rs:6:23",
    );
    assert_said(&project.write_lock().unwrap_err(), "remove `changed = \"for later\"`");
    project.source(&with(" ", "pub id: u32,"));
    project.check_refused("the reason is empty: say why the change is safe", "--> src/lib.rs:6:23");
    // The change that the reason is for.
    let opaque = with("ids were numbers in text", "#[event(opaque)] pub id: String,");
    project.source(&opaque);
    project.check().unwrap();
    assert_said(&project.test().unwrap_err(), "has changed since it was locked");
    project.write_lock().unwrap();
    project.check().unwrap();
    project.test().unwrap();
    let text = project.read("events.lock/user.created");
    assert_said(&text, "version 1 = UserCreated\nchanged \"id\" = \"ids were numbers in text\"\n");
    assert_said(&text, "    #[optional] id: opaque(\"String\"),\n");
    // The next change.
    let next = opaque.replace("id: String", "id: Vec<u8>");
    project.source(&next);
    project.check_refused(
        "`Vec<u8>` replaces `String`; restore it, declare `version = 2`, or give a reason: `#[event(changed = \"...\")]` on the field. The given reason belongs to an earlier change: give this change another reason",
        "--> src/lib.rs:7:26",
    );
    assert_said(&project.write_lock().unwrap_err(), "give this change another reason");
    // The reason does not allow a change of another field.
    project.source(&opaque.replace(
        "    pub email: String",
        "    #[event(changed = \"ids were numbers in text\")]\n    #[event(opaque)]\n    pub email: String",
    ));
    project.check_refused("give this change another reason", "--> src/lib.rs:10:9");
    project.source(&next.replace("in text\"", "in text; now bytes\""));
    project.check().unwrap();
    project.write_lock().unwrap();
    project.test().unwrap();
    let text = project.read("events.lock/user.created");
    assert_said(
        &text,
        "changed \"id\" = \"ids were numbers in text\"\nchanged \"id\" = \"ids were numbers in text; now bytes\"\n",
    );
    // The reason stays in the file when it is removed from the source.
    project.source(&next.replace("    #[event(changed = \"ids were numbers in text\")]\n", ""));
    project.check().unwrap();
    project.write_lock().unwrap();
    project.test().unwrap();
    assert_eq!(project.read("events.lock/user.created"), text);
}

#[test]
fn l1_a_reason_stands_where_its_change_is_reported() {
    let project = Project::locked(
        "l1-place",
        "#[event(\"user.created\")]\npub struct UserCreated(pub Part);\n\n#[payload]\npub struct Part { pub id: u32 }\n",
    );
    let changed = "#[event(\"user.created\")]\npub struct UserCreated(pub Part);\n\n#[payload]\npub struct Part { pub id: String }\n";
    project.source(changed);
    project.check_refused(
        "old records can't be read: .id: `u32` is written, but `String` is expected",
        "--> src/lib.rs:5:12",
    );
    project.source(&changed.replace("(pub Part)", "(#[event(changed = \"x\")] pub Part)"));
    let said = project.check().unwrap_err();
    assert_said(
        &said,
        "changes of this field are not checked separately: write the reason after the event's name, `#[event(\"...\", changed = \"...\")]`",
    );
    project.source(&changed.replace("pub id", "#[event(changed = \"x\")] pub id"));
    assert_said(
        &project.check().unwrap_err(),
        "`changed` is an option of locked events: declare the event with `typed_events::locked::event`, or remove `changed`",
    );
    project.source(&changed.replace("\")]", "\", changed = \"nobody has emitted it\")]"));
    project.check().unwrap();
    project.write_lock().unwrap();
    project.check().unwrap();
    project.test().unwrap();
}

/// One field per kind of change; each is changed alone.
const KINDS: &str = "
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

#[event(\"user.created\")]
pub struct UserCreated {
    #[serde(with = \"seconds\")]
    pub with: u64,
    pub double: f64,
    pub single: f32,
    pub list: Vec<u8>,
    pub set: HashSet<u8>,
    pub heap: BinaryHeap<u8>,
    #[serde(default = \"seconds::five\")]
    pub five: u64,
    #[serde(default)]
    pub zero: u64,
    pub map: BTreeMap<String, u8>,
    pub small: u32,
    pub large: i64,
    pub signed: i32,
    pub count: std::num::NonZeroU8,
    pub letter: char,
    pub three: [u8; 3],
    pub span: std::time::Duration,
    pub maybe: Option<u8>,
    #[serde(alias = \"was\")]
    pub renamed: Option<u8>,
    pub tagged: Tagged,
    pub open: Open,
    pub either: Either,
    pub part: Part,
    pub checked: Checked,
}

#[payload]
pub enum Tagged {
    One { a: u8 },
    #[serde(alias = \"Zwei\")]
    Two,
}

#[payload]
pub enum Open {
    Known,
    Named,
    #[serde(other)]
    Rest,
}

#[payload]
#[serde(untagged)]
pub enum Either {
    Text { text: String },
    Number { number: u8 },
}

#[payload]
pub struct Part {
    pub x: Option<u8>,
}

#[payload]
pub struct Checked(u8);

impl From<u8> for Checked {
    fn from(value: u8) -> Self { Self(value) }
}
";

#[test]
fn l2_each_change_that_is_lossy_or_hidden_is_refused() {
    let tried = Tried::new("l2", KINDS);
    let refused = |from: &str, to: &str, message: &str| {
        tried.project.source(&tried.change(from, to));
        let said = tried.project.check().expect_err(message);
        assert_said(&said, &format!("{BREAKS}{message}"));
        // One error, and the line that counts the errors.
        assert_eq!(said.matches("\nerror").count() + usize::from(said.starts_with("error")), 2, "{said}");
    };
    let old = "old records can't be read: ";
    let new = "programs that know the locked type can't read it: ";
    refused(
        "(with = \"seconds\")",
        "(with = \"millis\")",
        &format!(".with: {NOTHING_SHOWS}`with millis: u64` replaces `with seconds: u64`"),
    );
    refused(
        "double: f64",
        "double: f32",
        &format!("{old}.double: `f64` is written, but `f32` can't represent all of its digits"),
    );
    refused(
        "single: f32",
        "single: f64",
        &format!("{new}.single: `f64` is written, but `f32` can't represent all of its digits"),
    );
    refused(
        "list: Vec<u8>",
        "list: HashSet<u8>",
        &format!("{old}.list: the elements are written in an order or repeatedly, but a set keeps neither"),
    );
    refused(
        "list: Vec<u8>",
        "list: BinaryHeap<u8>",
        &format!("{old}.list: the elements are written in an order or without repetition"),
    );
    refused(
        "set: HashSet<u8>",
        "set: Vec<u8>",
        &format!("{new}.set: the elements are written in an order or repeatedly, but a set"),
    );
    refused(
        "heap: BinaryHeap<u8>",
        "heap: BTreeSet<u8>",
        &format!("{old}.heap: the elements are written in an order or repeatedly, but a set"),
    );
    refused(
        "\"seconds::five\"",
        "\"seconds::six\"",
        ".five: a record without it was read with `seconds::five`, and is now read with `seconds::six`",
    );
    refused(
        "(default = \"seconds::five\")",
        "(default)",
        ".five: a record without it was read with `seconds::five`, and is now read with `Default::default()`",
    );
    refused(
        "(default)]\n    pub zero",
        "(default = \"seconds::five\")]\n    pub zero",
        ".zero: a record without it was read with `Default::default()`, and is now read with `seconds::five`",
    );
    refused(
        "    pub maybe",
        "    #[serde(default = \"seconds::some\")]\n    pub maybe",
        ".maybe: a record without it was read with `None`, and is now read with `seconds::some`",
    );
    refused(
        "(default)]\n    pub zero",
        "(default, skip_serializing_if = \"seconds::is_zero\")]\n    pub zero",
        ".zero: it is left out if `seconds::is_zero` returns `true`, and programs that know the locked type read `Default::default()` instead",
    );
    refused(
        "map: BTreeMap<String, u8>",
        "map: Vec<(String, u8)>",
        &format!("{old}.map: an object is written"),
    );
    refused(
        "small: u32",
        "small: f32",
        &format!("{old}.small: `u32` is written, but `f32` can't represent all of its digits"),
    );
    refused(
        "large: i64",
        "large: f64",
        &format!("{old}.large: `i64` is written, but `f64` can't represent all of its digits"),
    );
    refused(
        "large: i64",
        "large: u64",
        &format!("{old}.large: `i64` is written, which does not fit into `u64`"),
    );
    refused(
        "signed: i32",
        "signed: std::num::NonZeroI32",
        &format!("{old}.signed: `i32` is written, which does not fit into `NonZero<i32>`"),
    );
    refused(
        "small: u32",
        "small: std::num::NonZeroU32",
        &format!("{old}.small: `u32` is written, which does not fit into `NonZero<u32>`"),
    );
    refused(
        "count: std::num::NonZeroU8",
        "count: u8",
        &format!("{new}.count: `u8` is written, which does not fit into `NonZero<u8>`"),
    );
    refused(
        "letter: char",
        "letter: String",
        &format!("{new}.letter: `String` is written, but `char` is expected"),
    );
    refused("three: [u8; 3]", "three: [u8; 4]", &format!("{old}.three: "));
    refused("span: std::time::Duration", "span: std::time::SystemTime", &format!("{old}.span."));
    refused(
        "    #[serde(alias = \"was\")]\n",
        "",
        ".renamed: records may have it under the name `was`, which is no longer read",
    );
    refused(
        "pub maybe",
        "#[serde(alias = \"maybe\")]\n    pub perhaps",
        ".maybe: programs that know the locked type read `maybe`, which is no longer written",
    );
    refused(
        "    #[serde(alias = \"Zwei\")]\n",
        "",
        ".tagged: records may have it under the name `Zwei`, which is no longer read",
    );
    refused(
        "pub enum Tagged",
        "#[serde(rename_all = \"snake_case\")]\npub enum Tagged",
        &format!("{old}.tagged: the variant `One` is written"),
    );
    refused(
        "    #[serde(other)]\n    Rest",
        "    Rest",
        ".open: variants with unknown names were read, but are refused now",
    );
    refused("    Named,\n", "", ".open: the variant `Named` was written, but is now read as `Rest`");
    refused(
        "    Text { text: String },\n    Number { number: u8 },",
        "    Number { number: u8 },\n    Text { text: String },",
        ".either: an untagged variant that is not the last has changed",
    );
    refused(
        "#[payload]\npub struct Part",
        "#[payload]\n#[serde(deny_unknown_fields)]\npub struct Part",
        ".part: unknown fields were ignored, but are refused now",
    );
    refused(
        "    pub part: Part",
        "    #[serde(flatten)]\n    pub part: Part",
        &format!("{new}.part: it is never written"),
    );
    refused(
        "#[payload]\npub struct Checked",
        "#[payload]\n#[serde(from = \"u8\")]\npub struct Checked",
        &format!(".checked: {NOTHING_SHOWS}`from u8` was added"),
    );
}

#[test]
fn l2_what_changes_no_value_is_free() {
    let tried = Tried::new("l2-free", KINDS);
    tried.accepted("set: HashSet<u8>", "set: BTreeSet<u8>");
    tried.accepted("list: Vec<u8>", "list: std::collections::VecDeque<u8>");
    tried.accepted("map: BTreeMap<String, u8>", "map: HashMap<String, u8>");
    tried.accepted("span: std::time::Duration", "span: Box<std::time::Duration>");
    tried.accepted("    pub maybe", "    #[serde(default)]\n    pub maybe");
    tried.accepted("    pub maybe", "    #[serde(skip_serializing_if = \"Option::is_none\")]\n    pub maybe");
    tried.accepted("pub struct Checked(u8);", "#[serde(transparent)]\npub struct Checked(u8);");
    tried.accepted(
        "    pub small: u32,\n    pub large: i64,",
        "    /// Documented.\n    pub large: i64,\n    pub small: u32,",
    );
}

const TWO_VERSIONS: &str = "#[event(\"user.created\", version = 1, superseded)]
pub struct UserCreatedV1 {
    pub id: u32,
    #[event(secret)]
    pub password: String,
}

#[event(\"user.created\", version = 2, previous = UserCreatedV1)]
pub struct UserCreated {
    pub id: String,
    #[event(secret)]
    pub password: String,
}

impl typed_events::Upcast<UserCreatedV1> for UserCreated {
    fn upcast(old: UserCreatedV1) -> Self {
        Self { id: old.id.to_string(), password: old.password }
    }
}
";

#[test]
fn l6_a_flattened_option_that_would_become_none_is_refused() {
    let tried = Tried::new(
        "l6-flattened-option",
        "#[event(\"user.created\")]
pub struct UserCreated {
    pub id: u32,
    #[serde(flatten)]
    pub address: Option<Address>,
    #[serde(flatten)]
    pub state: Option<State>,
    #[serde(flatten)]
    pub plan: Option<Plan>,
}

#[payload]
pub struct Address { pub zip: u64 }

#[payload]
#[serde(tag = \"state\")]
pub enum State { Open { since: u32 }, Closed { at: u32 } }

#[payload]
pub enum Plan { Free { seats: u32 }, Paid { seats: u32 } }
",
    );
    let (address, state, plan) = ("--> src/lib.rs:8:9", "--> src/lib.rs:10:9", "--> src/lib.rs:12:9");
    let old = "old records can't be read: ";
    tried.refused(
        "zip: u64",
        "zip: String",
        &format!("{old}.zip: `u64` is written, but `String` is expected"),
        address,
    );
    tried.refused(
        "zip: u64",
        "zip: u8",
        &format!("{old}.zip: `u64` is written, which does not fit into `u8`"),
        address,
    );
    tried.refused("zip: u64", "zip: u64, pub city: String", &format!("{old}.city: "), address);
    tried.refused(", Closed { at: u32 }", "", &format!("{old}the variant `Closed` is written"), state);
    tried.refused("at: u32", "at: String", &format!("{old}.at: `u32` is written"), state);
    tried.refused("Paid {", "Bought {", &format!("{old}.Paid: "), plan);
    tried.refused("Paid { seats: u32 }", "Paid { seats: u8 }", &format!("{old}.Paid.seats: "), plan);
    // Old programs would read it as `None`, too.
    tried.refused("Paid {", "Trial, Paid {", "programs that know the locked type can't read it: ", plan);
    tried.accepted("zip: u64", "zip: u64, pub city: Option<String>");
    tried.accepted("    #[serde(flatten)]\n    pub address: Option<Address>", "    pub zip: Option<u64>");
}

#[test]
fn l7_a_flattened_map_or_enum_that_goes_away_is_refused_and_remembered() {
    let tried = Tried::new(
        "l7-flattened-gone",
        "use std::collections::BTreeMap;

#[event(\"user.created\")]
pub struct UserCreated {
    pub id: u32,
    #[serde(flatten)]
    pub plan: Option<Plan>,
    #[serde(flatten)]
    pub extra: BTreeMap<String, u8>,
}

#[payload]
pub enum Plan { Free { seats: u32 }, Paid { seats: u32 } }
",
    );
    let extra = "    #[serde(flatten)]\n    pub extra: BTreeMap<String, u8>,\n";
    let plan = "    #[serde(flatten)]\n    pub plan: Option<Plan>,\n";
    let gone = |name: &str| {
        format!(
            "the field `{name}` is gone; restore it, declare `reserved(\"{name}\")` if it is no longer needed, or declare `version = 2`"
        )
    };
    tried.refused(extra, "", &gone("extra"), "--> src/lib.rs:7:12");
    let both = format!("{plan}{extra}");
    tried.refused(&both, "", &gone("plan"), "--> src/lib.rs:7:12");
    // The map would read the entries of the removed field.
    tried.refused(plan, "", "old records can't be read: .Free: ", "--> src/lib.rs:10:9");
    // The name of the field in the source is not in the JSON, and the order of fields matters only to serde.
    tried.accepted("pub extra", "pub others");
    tried.accepted("pub plan", "pub rate");
    tried.accepted("pub extra: BTreeMap<String, u8>", "pub extra: std::collections::HashMap<String, u8>");
    // The name of the removed field stays reserved.
    let without = tried.change(extra, "").replace("\")]", "\", reserved(\"extra\"))]");
    let project = &tried.project;
    project.source(&without);
    project.check().unwrap();
    project.write_lock().unwrap();
    project.check().unwrap();
    project.test().unwrap();
    assert_said(&project.read("events.lock/user.created"), "#[flatten] extra: Map<String, u8>,\n");
    let with = |field: &str| without.replace("    pub id: u32,\n", &format!("    pub id: u32,\n{field}"));
    project.source(&with("    pub x: Option<String>,\n"));
    project.check_refused(
        &format!("{BREAKS}old records can't be read: .x: `u8` is written, but `String` is expected"),
        "--> src/lib.rs:9:9",
    );
    let more = "    #[serde(flatten)]\n    pub more: BTreeMap<String, String>,\n";
    let again = without.replace(plan, &format!("{plan}{more}"));
    project.source(&again);
    assert_said(&project.check().unwrap_err(), "old records can't be read: ");
    project.source(&again.replace("String, String>", "String, u8>"));
    project.check().unwrap();
}

#[test]
fn l8_an_alias_that_moves_is_refused() {
    let tried = Tried::new(
        "l8-alias",
        "#[event(\"user.created\")]
pub struct UserCreated {
    #[serde(alias = \"x\")]
    pub a: Option<u8>,
    pub b: Option<u8>,
    pub kind: Kind,
}

#[payload]
pub enum Kind {
    #[serde(alias = \"Three\")]
    One,
    Two,
}
",
    );
    let moved = |name: &str, to: &str| {
        format!("records may have it under the name `{name}`, which is now read as `{to}`; restore it")
    };
    tried.refused(
        "    #[serde(alias = \"x\")]\n    pub a: Option<u8>,\n",
        "    pub a: Option<u8>,\n    #[serde(alias = \"x\")]\n",
        &format!(".a: {}", moved("x", "b")),
        "--> src/lib.rs:6:9",
    );
    tried.refused(
        "    #[serde(alias = \"Three\")]\n    One,\n",
        "    One,\n    #[serde(alias = \"Three\")]\n",
        &format!(".kind: {}", moved("Three", "Two")),
        "--> src/lib.rs:9:9",
    );
    tried.accepted("#[serde(alias = \"x\")]", "#[serde(alias = \"x\", alias = \"y\")]");
}

#[test]
fn l9_a_variant_that_an_untagged_one_would_read_is_refused() {
    let tried = Tried::new(
        "l9-untagged",
        "#[event(\"user.created\")]
pub struct UserCreated {
    pub kind: Kind,
    pub open: Open,
}

#[payload]
pub enum Kind {
    A,
    B,
    #[serde(untagged)]
    Other(String),
}

#[payload]
pub enum Open {
    Number(u16),
    #[serde(untagged)]
    Any(std::collections::BTreeMap<String, u16>),
}
",
    );
    let read = |name: &str| {
        format!("the variant `{name}` was written, but now only an untagged variant may read it")
    };
    tried.refused("    B,\n", "", &format!(".kind: {}", read("B")), "--> src/lib.rs:6:9");
    tried.refused("Number(u16)", "Number(u8)", &format!(".open: {}", read("Number")), "--> src/lib.rs:7:9");
    tried.accepted("    A,\n    B,\n", "    B,\n    A,\n");
}

#[test]
fn l11_an_optional_field_below_the_event_is_not_renamed_unnoticed() {
    let tried = Tried::new(
        "l11-below",
        "#[event(\"user.created\")]
pub struct UserCreated {
    pub part: Part,
    pub kinds: Vec<Kind>,
}

#[payload]
pub struct Part {
    pub foo_bar: Option<u8>,
    pub other: Option<String>,
}

#[payload]
pub enum Kind {
    One { at: Option<u8> },
}
",
    );
    let gone = |name: &str, to: &str| {
        format!(
            "the field `{name}` is gone, and `{to}` is new: the values under the old name would no longer be read; restore it"
        )
    };
    let (part, kinds) = ("--> src/lib.rs:6:9", "--> src/lib.rs:7:9");
    tried.refused(
        "pub struct Part",
        "#[serde(rename_all = \"camelCase\")]\npub struct Part",
        &format!(".part: {}", gone("foo_bar", "fooBar")),
        part,
    );
    tried.refused(
        "at: Option<u8>",
        "since: Option<u16>",
        &format!(".kinds[].One: {}", gone("at", "since")),
        kinds,
    );
    // One field is removed, and another one is added.
    tried.accepted("pub foo_bar: Option<u8>", "pub flag: Option<bool>");
    let without = tried.change("    pub foo_bar: Option<u8>,\n", "");
    tried.project.source(&without);
    tried.project.check().unwrap();
    tried.project.write_lock().unwrap();
    assert_said(&tried.project.read("events.lock/user.created"), "    #[gone] foo_bar: Option<u8>,\n");
    // The field was removed before.
    tried.project.source(&without.replace("pub other", "pub count: Option<u8>,\n    pub other"));
    tried.project.check().unwrap();
    tried.project.write_lock().unwrap();
    tried.project.test().unwrap();
}

/// Returns an event with this number of nested structs.
fn nested(depth: usize) -> String {
    let mut source =
        "#[event(\"user.created\")]\npub struct UserCreated {\n    pub id: u8,\n    pub p: P0,\n}\n"
            .to_owned();
    for i in 0..depth {
        let inner = if i + 1 == depth { "u8".to_owned() } else { format!("P{}", i + 1) };
        source += &format!("#[payload]\npub struct P{i} {{ pub p: {inner} }}\n");
    }
    source
}

#[test]
fn l10_what_is_too_deep_to_be_compared_is_refused_by_the_first_write() {
    let project = Project::new("l10-deep", &nested(40));
    for depth in [40, 24, 17] {
        project.source(&nested(depth));
        let said = project.write_lock().unwrap_err();
        assert_said(&said, "`user.created` can't be locked: ");
        assert_said(
            &said,
            "it is nested too deeply to be compared: the limit is about 15 structs or 10 enums; reduce the nesting, or mark a field `#[event(opaque)]`, so that the field is not compared",
        );
    }
    // The deepest type that can be written can be compared, and fields next to it can change.
    let deepest = (10..17).rev().find(|depth| {
        project.source(&nested(*depth));
        project.write_lock().is_ok()
    });
    let source = nested(deepest.unwrap());
    project.check().unwrap();
    project.test().unwrap();
    project.source(&source.replace("    pub id: u8,\n", "    pub id: u8,\n    pub more: Option<u8>,\n"));
    project.check().unwrap();
    project.write_lock().unwrap();
    project.check().unwrap();
    project.test().unwrap();
}

#[test]
fn l3_superseded_versions_are_locked_from_the_first_write_on() {
    let project = Project::locked("l3", TWO_VERSIONS);
    let text = project.read("events.lock/user.created");
    assert_said(
        &text,
        "version 1 = UserCreatedV1\n\ntype UserCreatedV1 = struct {\n    id: u32,\n    #[secret] password: String,\n}\n",
    );
    assert_said(&text, "version 2 = UserCreated\n");
    project.test().unwrap();
    let altered = TWO_VERSIONS.replacen("id: u32", "id: u16", 1);
    project.source(&altered);
    let message = "`user.created` breaks its lock (version 1): old records can't be read: .id: `u32` is written, which does not fit into `u16`; restore it: its records are still read as this type";
    project.check_refused(message, "--> src/lib.rs:6:9");
    assert_said(&project.write_lock().unwrap_err(), message);
    let shown = TWO_VERSIONS.replacen("    #[event(secret)]\n", "", 1);
    project.source(&shown);
    let message = "`user.created` breaks its lock (version 1): .password: it was secret, but would be shown now; restore it, or give a reason: `#[event(changed = \"...\")]` on the field";
    project.check_refused(message, "--> src/lib.rs:7:9");
    assert_said(&project.write_lock().unwrap_err(), message);
    assert_eq!(project.read("events.lock/user.created"), text);
    project.source(&shown.replacen(
        "    pub password",
        "    #[event(changed = \"test passwords\")]\n    pub password",
        1,
    ));
    project.check().unwrap();
    project.write_lock().unwrap();
    project.test().unwrap();
    assert_said(
        &project.read("events.lock/user.created"),
        "version 1 = UserCreatedV1\nchanged \"password\" = \"test passwords\"\n",
    );
}

#[test]
fn l3_a_version_that_the_file_lacks_and_one_outside_the_lock_are_told() {
    let project = Project::locked("l3-lacks", TWO_VERSIONS);
    let text = project.read("events.lock/user.created");
    let (head, rest) = text.split_once("\nversion 1").unwrap();
    let (_, second) = rest.split_once("\nversion 2").unwrap();
    project.write("events.lock/user.created", &format!("{head}\nversion 2{second}"));
    project.check_refused(
        "`user.created` is not locked: events.lock/user.created has no version 1; write it with",
        "--> src/lib.rs:4:9",
    );
    project.source(TWO_VERSIONS);
    project.write_lock().unwrap();
    assert_eq!(project.read("events.lock/user.created"), text);
    project.source(&TWO_VERSIONS.replacen(
        "#[event(\"user.created\", version = 1",
        "#[typed_events::event(\"user.created\", version = 1",
        1,
    ));
    project.check_refused(
        "`UserCreatedV1` is a version of a locked event, but is not locked itself: declare it with `typed_events::locked::event`",
        "--> src/lib.rs:11:",
    );
}

#[test]
fn l3_a_new_version_does_not_show_the_secrets_of_the_one_before() {
    let source = TWO_VERSIONS.replace(
        "    #[event(secret)]\n    pub password: String,\n}\n\nimpl",
        "    pub password: String,\n}\n\nimpl",
    );
    let project = Project::new("l3-shows", &source);
    assert_said(
        &project.write_lock().unwrap_err(),
        "`user.created` breaks its lock (version 2): .password: it was secret, but would be shown now",
    );
    project.source(&source.replace(
        "    pub password: String,\n}\n\nimpl",
        "    #[event(changed = \"hashed since June\")]\n    pub password: String,\n}\n\nimpl",
    ));
    project.write_lock().unwrap();
    project.check().unwrap();
    project.test().unwrap();
}

#[test]
fn l4_conflict_markers_and_newer_formats_are_named() {
    let project = Project::locked("l4-markers", CREATED);
    let file = "events.lock/user.created";
    let text = project.read(file);
    project.write(
        file,
        &text.replace(
            "    email: String,\n",
            "<<<<<<< HEAD\n    email: String,\n=======\n    email: Option<String>,\n>>>>>>> other\n",
        ),
    );
    // cargo considers the last write of the lock up to date, so it must not overwrite the merge.
    let merged = project.read(file);
    let said = project.write_lock().unwrap_err();
    assert_said(
        &said,
        "events.lock/user.created differs from the file the program was compiled with: touch src/lib.rs, then write the lock again",
    );
    assert_said(
        &said,
        "events.lock/user.created contains a conflict marker of a merge in line 13 (`<<<<<<<`)",
    );
    assert_eq!(project.read(file), merged);
    let message = "events.lock/user.created:13 contains a conflict marker of a merge (`<<<<<<<`): keep one side of the conflict, and write the lock again";
    project.check_refused(message, "--> src/lib.rs:4:9");
    project.source(CREATED);
    assert_said(&project.write_lock().unwrap_err(), message);
    project.write(file, &text.replace("format 1", "format 2"));
    project.check_refused(
        "events.lock/user.created:3 has format 2, but this version of typed-events reads only formats up to 1: update typed-events",
        "--> src/lib.rs:4:9",
    );
    project.write(file, &text.replace("format 1", "format 0"));
    project.check_refused(
        "events.lock/user.created:3 has format 0, which does not exist: restore it from version control",
        "--> src/lib.rs:4:9",
    );
    let (_, section) = text.split_once("\nversion 1").unwrap();
    project.write(file, &format!("{text}\nversion 1{section}"));
    project.check_refused(
        "contains version 1 twice: keep one of the two, and write the lock again",
        "--> src/lib.rs:4:9",
    );
    project.write(file, &text.replace("format 1\n", ""));
    project.check_refused(
        "events.lock/user.created is not a valid lock file: expected `format`",
        "--> src/lib.rs:4:9",
    );
    project.write(file, &text);
    // Files that belong to no linked event.
    project.write("events.lock/user.deleted", "<<<<<<< HEAD\n");
    project.write("events.lock/user.renamed", &text.replace("format 1", "format 2"));
    project.write("events.lock/user.created.orig", &text);
    for said in [project.test().unwrap_err(), project.write_lock().unwrap_err()] {
        assert_said(
            &said,
            "events.lock/user.deleted contains a conflict marker of a merge in line 1 (`<<<<<<<`): keep one side of the conflict, and write the lock again",
        );
        assert_said(
            &said,
            "events.lock/user.renamed has format 2, but this version of typed-events reads only formats up to 1: update typed-events",
        );
        assert_said(
            &said,
            "events.lock/user.created.orig is the lock file of another event, `user.created`: rename it to `user.created`, or delete it",
        );
    }
}

#[test]
fn l5_an_event_does_not_leave_the_lock_unnoticed() {
    let project = Project::locked("l5-plain", CREATED);
    project.source(&CREATED.replace("#[event(", "#[typed_events::event("));
    project.check().unwrap();
    for said in [project.test().unwrap_err(), project.write_lock().unwrap_err()] {
        assert_said(&said, "event `user.created` is locked (");
        assert_said(
            &said,
            "is no longer declared under the lock: declare it with `typed_events::locked::event`, or delete the file",
        );
    }
}
