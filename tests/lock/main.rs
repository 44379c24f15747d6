//! The schema lock in real projects: the output of cargo.

mod cases;
mod project;
mod year;

use project::{CREATED, Project, assert_said};

#[test]
fn an_event_without_a_file_does_not_compile_until_it_is_written() {
    let project = Project::new("create", CREATED);
    project.check_refused(
        "error: `user.created` is not locked: events.lock/user.created does not exist; write it with `TYPED_EVENTS_LOCK=write cargo test`",
        "--> src/lib.rs:4:9",
    );
    project.write_lock().unwrap();
    let text = project.read("events.lock/user.created");
    let (_, history) = text.split_once("first written as ").unwrap();
    assert_eq!(
        text.replace(&history[..16], "HISTORY"),
        "// The event as programs write and read it. Kept by typed-events; check it in.

format 1
event \"user.created\"
type \"shop::UserCreated\"
compatibility full
history \"first written as HISTORY\"

version 1 = UserCreated

type UserCreated = struct {
    id: u32,
    email: String,
    nick: Option<String>,
}
"
    );
    assert_eq!(project.files("events.lock"), ["user.created"]);
    project.check().unwrap();
    project.test().unwrap();
}

#[test]
fn a_file_that_is_deleted_is_missed_at_once() {
    let project = Project::locked("delete", CREATED);
    project.remove("events.lock/user.created");
    project.check_refused(
        "`user.created` is not locked: events.lock/user.created does not exist",
        "--> src/lib.rs:4:9",
    );
    project.write_lock().unwrap();
    project.check().unwrap();
    let said = project.cargo(&["test", "-q", "--test", "lock"], Some("1")).unwrap_err();
    assert_said(
        &said,
        "TYPED_EVENTS_LOCK has the unknown value `1`: set it to `write` to write the lock, or unset it",
    );
    project.source("");
    project.remove("events.lock/user.created");
    std::fs::remove_dir(project.folder.join("events.lock")).unwrap();
    let said = project.test().unwrap_err();
    assert_said(&said, "there is no lock: events.lock does not exist");
    assert_said(&said, "--> tests/lock.rs:5:5");
}

#[test]
fn a_file_that_is_edited_is_compared_at_once() {
    let project = Project::locked("edit", CREATED);
    project.edit("events.lock/user.created", "email: String", "email: u64");
    project.check_refused(
        "`user.created` breaks its lock (version 1): old records can't be read: .email: `u64` is written, but `String` is expected; restore it, or declare `version = 2`",
        "--> src/lib.rs:7:9",
    );
    project.edit("events.lock/user.created", "email: u64", "email: Strin");
    project.check_refused(
        "events.lock/user.created is not a valid lock file: the type `Strin` is not declared; restore it from version control",
        "--> src/lib.rs:4:9",
    );
    project.edit("events.lock/user.created", "email: Strin", "email; Strin");
    project.check_refused(
        "events.lock/user.created is not a valid lock file: expected `:`; restore it from version control",
        "--> src/lib.rs:4:9",
    );
    project.edit("events.lock/user.created", "email; Strin", "email: String");
    project.check().unwrap();
}

#[test]
fn each_change_that_breaks_something_is_refused_at_its_place() {
    let source = "#[payload]
pub enum Plan {
    Free,
    Paid,
}

#[event(\"user.created\")]
pub struct UserCreated {
    pub id: u32,
    pub email: String,
    pub nick: Option<String>,
    pub plan: Plan,
}
";
    let project = Project::locked("changes", source);
    let refuse = |from: &str, to: &str, message: &str, place: &str| {
        assert!(source.contains(from), "{from}");
        project.source(&source.replace(from, to));
        project.check_refused(&format!("`user.created` breaks its lock (version 1): {message}"), place);
    };
    refuse(
        "    pub email: String,\n",
        "",
        "programs that know the locked type can't read it: .email: it is never written, but required; restore it, or declare `version = 2`",
        "--> src/lib.rs:11:12",
    );
    refuse(
        "pub email: String",
        "pub mail: String",
        "old records can't be read: .mail: it is never written, but required; restore its name, if it was `email`, or declare `version = 2`",
        "--> src/lib.rs:13:9",
    );
    refuse(
        "pub email",
        "#[serde(alias = \"email\")]\n    pub mail",
        "programs that know the locked type can't read it: .email: it is never written, but required; restore it, or declare `version = 2`",
        "--> src/lib.rs:11:12",
    );
    refuse(
        "pub id: u32",
        "pub id: String",
        "old records can't be read: .id: `u32` is written, but `String` is expected",
        "--> src/lib.rs:12:9",
    );
    refuse(
        "pub id: u32",
        "pub id: u64",
        "programs that know the locked type can't read it: .id: `u64` is written, which does not fit into `u32`",
        "--> src/lib.rs:12:9",
    );
    refuse(
        "pub nick: Option<String>",
        "pub nick: String",
        "old records can't be read: .nick: it may be `null`",
        "--> src/lib.rs:14:9",
    );
    refuse(
        "pub nick",
        "pub phone: String,\n    pub nick",
        "old records can't be read: .phone: it is never written, but required; use an `Option`, add `#[serde(default)]`, or declare `version = 2`",
        "--> src/lib.rs:14:9",
    );
    refuse(
        "    Paid,\n",
        "",
        "old records can't be read: .plan: the variant `Paid` is written, but not known here",
        "--> src/lib.rs:14:9",
    );
    refuse(
        "    Paid,\n",
        "    Paid,\n    Trial,\n",
        "programs that know the locked type can't read it: .plan: the variant `Trial` is written, but not known here",
        "--> src/lib.rs:16:9",
    );
    // Compatible changes compile: another name of a type, another spelling of it, new optional fields.
    for (from, to) in [
        ("pub email: String", "pub email: std::borrow::Cow<'static, str>"),
        ("pub id: u32", "pub id: Id"),
        ("pub nick", "pub phone: Option<String>,\n    pub nick"),
        ("pub nick", "#[serde(default)]\n    pub tags: Vec<u8>,\n    pub nick"),
    ] {
        project.source(&format!("{}\npub type Id = u32;\n", source.replace(from, to)));
        project.check().unwrap();
    }
}

#[test]
fn what_broke_the_lock_is_not_written_over_it() {
    let project = Project::locked("refused", CREATED);
    let before = project.read("events.lock/user.created");
    project.source(&CREATED.replace("email: String", "email: u8"));
    let said = project.write_lock().unwrap_err();
    assert_said(
        &said,
        "`user.created` breaks its lock (version 1): old records can't be read: .email: `String` is written, but `u8` is expected",
    );
    assert_said(&said, "or declare `version = 2`");
    assert_eq!(project.read("events.lock/user.created"), before);
    project.remove("events.lock/user.created");
    project.write_lock().unwrap();
    assert_said(&project.read("events.lock/user.created"), "    email: u8,\n");
    project.check().unwrap();
}

#[test]
fn what_is_stale_is_told_by_the_test_and_remembers_what_was_written() {
    let project = Project::locked("stale", CREATED);
    let later = CREATED.replace("    pub nick", "    #[serde(default)]\n    pub score: u8,\n    pub nick");
    project.source(&later);
    project.check().unwrap();
    let said = project.test().unwrap_err();
    assert_said(&said, "event `user.created` (shop::UserCreated (src/lib.rs:");
    assert_said(&said, "has changed since it was locked: write ");
    assert_said(&said, "events.lock/user.created with `TYPED_EVENTS_LOCK=write cargo test`");
    project.write_lock().unwrap();
    assert_said(&project.read("events.lock/user.created"), "    #[sometimes] #[optional] score: u8,\n");
    project.test().unwrap();
    // Records without the field are still stored.
    project.source(&later.replace("    #[serde(default)]\n", ""));
    project.check_refused(
        "old records can't be read: .score: it is not always written, but required",
        "--> src/lib.rs:8:9",
    );
}

#[test]
fn an_event_that_is_no_longer_declared_and_one_outside_the_lock_are_told() {
    let two = format!("{CREATED}\n#[event(\"user.deleted\")]\npub struct UserDeleted;\n");
    let project = Project::locked("extra", &two);
    project
        .source(&format!("{CREATED}\n#[typed_events::event(\"user.renamed\")]\npub struct UserRenamed;\n"));
    project.check().unwrap();
    let said = project.test().unwrap_err();
    assert_said(&said, "event `user.deleted` is locked (");
    assert_said(&said, "but `shop::UserDeleted` is no longer declared: restore it, or delete the file");
    assert_said(&said, "event `user.renamed` (shop::UserRenamed (src/lib.rs:");
    assert_said(&project.write_lock().unwrap_err(), "event `user.deleted` is locked (");
    assert_said(
        &said,
        "is not locked, but other events of its crate are: declare it with `typed_events::locked::event`",
    );
}

#[test]
fn a_second_type_can_not_claim_a_name() {
    let project = Project::locked("claimed", CREATED);
    project.source(&format!("{CREATED}\npub mod other {{\n    #[super::event(\"user.created\")]\n    pub struct Another {{\n        pub id: u32,\n        pub email: String,\n        pub nick: Option<String>,\n    }}\n}}\n"));
    project.check_refused(
        "`user.created` belongs to `shop::UserCreated`, but `shop::other::Another` also claims it: choose another name; mark the older version `superseded`; or, if the type has moved, write the lock",
        "--> src/lib.rs:12:20",
    );
}

#[test]
fn a_removed_field_is_reserved() {
    let project = Project::locked("reserved", CREATED);
    let without = CREATED.replace("    pub nick: Option<String>,\n", "");
    project.source(&without);
    project.check_refused(
        "the field `nick` is gone; restore it, declare `reserved(\"nick\")` if it is no longer needed, or declare `version = 2`",
        "--> src/lib.rs:5:12",
    );
    project.source(&without.replace("\")]", "\", reserved(\"nick\"))]"));
    project.check().unwrap();
    project.write_lock().unwrap();
    assert_said(&project.read("events.lock/user.created"), "\nreserved \"nick\"\n");
    project.source(&without);
    project.check().unwrap();
    project.source(CREATED);
    project.check_refused(
        "the name `nick` is reserved, because a removed field had it: choose another name",
        "--> src/lib.rs:8:9",
    );
    // A field that running programs need can't be removed, even with a reason.
    project.source(
        &without.replace("\")]", "\", reserved(\"email\"))]").replace("    pub email: String,\n", ""),
    );
    project.check_refused(
        "programs that know the locked type can't read it: .email: it is never written, but required",
        "--> src/lib.rs:5:12",
    );
}

#[test]
fn what_is_removed_below_an_event_is_remembered() {
    let source = "#[event(\"order.placed\")]
pub struct OrderPlaced {
    pub at: Address,
}

#[payload]
pub struct Address {
    pub street: String,
    pub floor: Option<u8>,
}
";
    let project = Project::locked("below", source);
    let without = source.replace("    pub floor: Option<u8>,\n", "");
    project.source(&without);
    project.check().unwrap();
    project.write_lock().unwrap();
    assert_said(&project.read("events.lock/order.placed"), "    #[gone] floor: Option<u8>,\n");
    project.test().unwrap();
    // Old records are still stored.
    project.source(&source.replace("Option<u8>", "Option<String>"));
    project.check_refused("old records can't be read: .at.floor: ", "--> src/lib.rs:6:9");
    project.source(source);
    project.check().unwrap();
}

#[test]
fn what_was_once_absent_is_remembered_wherever_a_type_is_used() {
    let source = "#[event(\"order.placed\")]
pub struct OrderPlaced {
    pub at: Address,
}

#[payload]
pub struct Address {
    pub street: String,
}
";
    let project = Project::locked("wherever", source);
    let source = source.replace("String,\n", "String,\n    #[serde(default)]\n    pub floor: u8,\n");
    project.source(&source);
    project.write_lock().unwrap();
    let source =
        source.replace("    pub at", "    #[serde(default)]\n    pub bill: Option<Address>,\n    pub at");
    project.source(&source);
    project.write_lock().unwrap();
    project.test().unwrap();
    project.source(&source.replace("    #[serde(default)]\n    pub floor", "    pub floor"));
    project.check_refused(
        "old records can't be read: .bill.floor: it is not always written",
        "--> src/lib.rs:7:9",
    );
}

#[test]
fn a_reserved_name_is_not_taken_by_an_alias_or_a_flattened_field() {
    let project = Project::locked("taken", CREATED);
    let without =
        CREATED.replace("    pub nick: Option<String>,\n", "").replace("\")]", "\", reserved(\"nick\"))]");
    project.source(&without);
    project.write_lock().unwrap();
    let with = |field: &str| without.replace("    pub email", &format!("{field}\n    pub email"));
    project.source(&with("    #[serde(default, alias = \"nick\")] pub handle: Option<u32>,"));
    project.check_refused("the name `nick` is reserved", "--> src/lib.rs:7:");
    project.source(&format!(
        "{}\n#[payload]\npub struct Names {{ #[serde(default)] pub nick: Option<u32> }}\n",
        with("    #[serde(flatten)] pub names: Names,")
    ));
    project.check_refused("the name `nick` is reserved", "--> src/lib.rs:7:");
}

#[test]
fn flattened_fields_have_no_names_of_their_own() {
    let whole = "#[event(\"point.moved\")]
pub struct Moved {
    #[serde(flatten)]
    pub to: Point,
}

#[payload]
pub struct Point {
    pub x: u32,
    pub y: u32,
}
";
    let plain =
        whole.replace("    #[serde(flatten)]\n    pub to: Point,", "    pub x: u32,\n    pub y: u32,");
    let project = Project::locked("flattened", whole);
    for source in [&whole.replace("pub to", "pub end"), &plain] {
        project.source(source);
        project.check().unwrap();
        project.write_lock().unwrap();
        project.test().unwrap();
    }
    // Now the lock has the plain fields.
    project.source(whole);
    project.check().unwrap();
    project.source(&whole.replace("    pub y: u32,\n", ""));
    assert_said(&project.check().unwrap_err(), ".y: it is never written, but required");
}

#[test]
fn line_ends_and_what_git_keeps_in_the_folder() {
    let project = Project::locked("line-ends", CREATED);
    let file = "events.lock/user.created";
    project.write(file, &project.read(file).replace('\n', "\r\n"));
    project.write("events.lock/.gitattributes", "* text=auto\n");
    project.test().unwrap();
}

#[test]
fn types_may_be_named_like_words_of_the_lock() {
    let source = "#[event(\"word.used\")]
pub struct WordUsed {
    pub a: String,
    pub b: Map,
    pub c: r#type,
    pub d: Box<u8>,
}

#[payload]
pub struct String { pub a: u8 }
#[payload]
pub struct Map { pub a: u8 }
#[payload]
#[allow(non_camel_case_types)]
pub struct r#type { pub a: u8 }
";
    let project = Project::locked("words", source);
    project.test().unwrap();
    project.source(&source.replace("pub a: String", "pub a: std::string::String"));
    project.check_refused("old records can't be read: .a: ", "--> src/lib.rs:6:9");
}

#[test]
fn compatibility_is_what_the_event_asks_for() {
    let wider = CREATED.replace("id: u32", "id: u64");
    let narrower = CREATED.replace("id: u32", "id: u16");
    let with = |source: &str, mode: &str| source.replace("\")]", &format!("\", compatibility = {mode})]"));
    let forward = "programs that know the locked type can't read it: .id: `u64` is written, which does not fit into `u32`";
    let backward = "old records can't be read: .id: `u32` is written, which does not fit into `u16`";
    let project = Project::locked("backward", &with(CREATED, "backward"));
    project.source(&with(&wider, "backward"));
    project.check().unwrap();
    project.source(&with(&narrower, "backward"));
    project.check_refused(backward, "--> src/lib.rs:6:9");
    let project = Project::locked("forward", &with(CREATED, "forward"));
    project.source(&with(&narrower, "forward"));
    project.check().unwrap();
    project.source(&with(&wider, "forward"));
    project.check_refused(forward, "--> src/lib.rs:6:9");
    project.source(&with(&wider, "full"));
    project.check_refused(forward, "--> src/lib.rs:6:9");
    project.source(&with(CREATED, "none"));
    project.check_refused("`compatibility` is `full`, `backward` or `forward`", "--> src/lib.rs:4:41");
}

#[test]
fn a_new_version_is_locked_beside_the_old_one() {
    let project = Project::locked("versions", CREATED);
    let old = "#[event(\"user.created\", version = 1, superseded)]
pub struct UserCreatedV1 {
    pub id: u32,
    pub email: String,
    pub nick: Option<String>,
}
";
    let new = "
#[event(\"user.created\", version = 2, previous = UserCreatedV1)]
pub struct UserCreated {
    pub id: String,
}

impl typed_events::Upcast<UserCreatedV1> for UserCreated {
    fn upcast(old: UserCreatedV1) -> Self {
        Self { id: old.id.to_string() }
    }
}
";
    let both = format!("{old}{new}");
    project.source(&both);
    project.check_refused(
        "`user.created` is not locked: events.lock/user.created has no version 2; write it with",
        "--> src/lib.rs:11:9",
    );
    project.write_lock().unwrap();
    let text = project.read("events.lock/user.created");
    assert_said(&text, "version 1 = UserCreated\n\ntype UserCreated = struct {\n    id: u32,\n");
    assert_said(&text, "version 2 = UserCreated\n\ntype UserCreated = struct {\n    id: String,\n}\n");
    project.check().unwrap();
    project.test().unwrap();
    // Old records are read as the old type, which must stay as it was.
    project.source(&both.replace("pub email: String", "pub email: bool"));
    project.check_refused(
        "`user.created` breaks its lock (version 1): old records can't be read: .email: `String` is written, but `bool` is expected; restore it: its records are still read as this type",
        "--> src/lib.rs:7:9",
    );
    project.source(CREATED);
    project.check_refused(
        "`user.created` is locked up to version 2 (events.lock/user.created), and this is version 1: declare version 2, and mark this type `superseded`",
        "--> src/lib.rs:4:9",
    );
}

#[test]
fn every_kind_of_type_is_read_back_as_it_was_written() {
    let source = "
use std::collections::{BTreeMap, HashMap};

#[payload]
pub struct Tree<T: Clone> {
    pub value: T,
    pub name: Option<Box<str>>,
}

#[payload]
pub struct Node {
    pub children: Vec<Node>,
    pub parent: Option<Box<Node>>,
}

#[payload]
#[serde(tag = \"kind\", rename_all = \"kebab-case\", deny_unknown_fields)]
pub enum Tagged {
    Unit,
    WithFields { #[serde(rename = \"a b\")] a: u8, #[serde(default)] b: i64 },
    Holds(Node),
}

#[payload]
#[serde(tag = \"t\", content = \"c\")]
pub enum Adjacent {
    One(u8, char),
    #[serde(rename = \"type\")]
    Two,
    #[serde(other)]
    Rest,
}

#[payload]
#[serde(untagged)]
pub enum Untagged {
    Number(f32),
    Text(String),
    Nothing,
}

#[payload]
#[serde(transparent)]
pub struct Wrapped(Option<u8>);

#[payload]
#[serde(deny_unknown_fields)]
pub struct Strict {
    pub id: u128,
}

#[payload]
pub struct Names {
    pub strict: Strict,
    #[serde(rename(serialize = \"written\", deserialize = \"read\"), alias = \"written\")]
    pub both: bool,
    #[serde(skip_deserializing, default)]
    pub only_written: u8,
    #[serde(skip_serializing, default)]
    pub only_read: u8,
    #[serde(skip_serializing_if = \"Option::is_none\")]
    pub absent: Option<u8>,
    #[serde(skip_serializing_if = \"Vec::is_empty\", default)]
    pub empty: Vec<()>,
    #[event(opaque)]
    pub opaque: std::time::Duration,
    pub r#type: std::num::NonZeroU16,
}

#[event(\"all.kinds\")]
pub struct Kinds {
    pub numbers: (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64),
    pub tree: Tree<Tree<u8>>,
    pub other_tree: Tree<String>,
    pub node: Node,
    pub tagged: Tagged,
    pub adjacent: HashMap<String, Adjacent>,
    pub untagged: BTreeMap<u32, Untagged>,
    pub wrapped: Wrapped,
    pub names: Names,
    pub array: [char; 3],
    pub address: std::net::IpAddr,
    #[serde(flatten)]
    pub rest: HashMap<String, String>,
}

#[payload(secret)]
pub struct Token(String);

#[payload(secret)]
#[serde(transparent)]
pub struct Maybe(Option<u8>);

#[event(\"all.secret\")]
pub struct Secret {
    pub token: Token,
    #[event(secret)]
    pub password: String,
    pub optional: Maybe,
}

#[event(\"all.unit\")]
pub struct Unit;

#[event(\"all.tuple\")]
pub struct Tuple(pub u8, pub Node);

#[event(\"all.choice\")]
pub enum Choice {
    One(Tuple),
    Two { node: Option<Node> },
}

/// Checks that the lock that was just written reports no change.
#[cfg(test)]
mod tests {
    use typed_events::Event;

    #[test]
    fn nothing_has_changed() {
        assert!(typed_events::schema_lock!().verify().is_ok());
        assert_eq!(super::Kinds::NAME, \"all.kinds\");
    }
}
";
    let project = Project::locked("kinds", source);
    project.test().unwrap();
    assert_said(
        &project.read("events.lock/all.secret"),
        "version 1 = Secret

type Secret = struct {
    token: Token,
    #[secret] password: String,
    #[secret] optional: Option<u8>,
}

#[secret] type Token = String
",
    );
    let once = project.read("events.lock/all.kinds");
    project.write_lock().unwrap();
    assert_eq!(project.read("events.lock/all.kinds"), once);
    assert_said(&once, "type Tree = struct {\n");
    assert_said(&once, "type Tree2 = struct {\n");
}

#[test]
fn a_bus_checks_the_lock_it_is_given() {
    let project = Project::locked("bus", CREATED);
    project.write(
        "tests/bus.rs",
        "use shop as _;

#[test]
fn the_bus_is_built() {
    let runtime = typed_events::Bus::builder().schema_lock(typed_events::schema_lock!()).build();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let built = std::pin::pin!(runtime).poll(&mut context);
    let std::task::Poll::Ready(Err(error)) = built else { panic!() };
    panic!(\"{error}\");
}
",
    );
    let test = || project.cargo(&["test", "-q", "--test", "bus"], None).unwrap_err();
    let said = test();
    assert_said(&said, "no tokio runtime");
    assert!(!said.contains("locked"), "{said}");
    project.source(&CREATED.replace("    pub nick", "    pub added: Option<u8>,\n    pub nick"));
    assert_said(&test(), "event `user.created` (shop::UserCreated (src/lib.rs:");
}

#[test]
fn patterns_are_compared_with_the_locked_names() {
    let events = "#[event(\"user.created\")]
pub struct UserCreated;

#[event(\"user.profile.renamed\")]
pub struct ProfileRenamed;

#[event(\"order.placed\")]
pub struct OrderPlaced;
";
    let project = Project::locked("patterns", events);
    let with = |handler: &str| project.source(&format!("{events}\n{handler}\n"));
    for good in [
        "#[on(\"user.*\")]\nfn all(_: &Record) {}",
        "#[on(\"*.placed\", \"+.profile.renamed\")]\nfn some(_: &Record) {}",
        "#[on]\nfn one(_: &OrderPlaced) {}",
        "#[derive(EventSet)]\nenum Users<'a> { Created(&'a UserCreated), Renamed(&'a ProfileRenamed) }\n#[on(\"user.*\")]\nfn set(_: Users<'_>) {}",
        "#[derive(EventSet)]\nenum Users<'a> { Created(&'a UserCreated), Rest(&'a Record) }\n#[on(\"*\")]\nfn set(_: Users<'_>) {}",
    ] {
        with(good);
        project.check().unwrap();
    }
    let refuse = |handler: &str, message: &str, place: &str| {
        with(handler);
        project.check_refused(message, place);
    };
    refuse(
        "#[on(\"usr.*\")]\nfn all(_: &Record) {}",
        "no locked event matches `usr.*`: did you mean `user.*`?",
        "--> src/lib.rs:13:6",
    );
    // The proposed pattern matches an event.
    for hinted in ["usr.+.created", "user.+.created", "user.craeted", "user.created.*"] {
        refuse(
            &format!("#[on(\"{hinted}\")]\nfn all(_: &Record) {{}}"),
            &format!("no locked event matches `{hinted}`: did you mean `user.created`?"),
            "--> src/lib.rs:13:6",
        );
    }
    refuse(
        "#[on(\"user.*\", \"+.created.+\")]\nfn all(_: &Record) {}",
        "no locked event matches `+.created.+`: if it matches a new event, write the lock",
        "--> src/lib.rs:13:16",
    );
    refuse(
        "#[derive(EventSet)]\nenum Users<'a> { Created(&'a UserCreated), Placed(&'a OrderPlaced) }\n#[on(\"order.*\", \"user.*\")]\nfn set(_: Users<'_>) {}",
        "handler `set` is on `user.*`, which takes `user.profile.renamed`, but `Users<'_>` has no variant for it: add one, or one for all others, `Other(&'a Record)`",
        "--> src/lib.rs:16:11",
    );
    let project = Project::new("no-lock", "#[on(\"user.*\")]\nfn all(_: &Record) {}\n");
    project.check_refused("there is no lock: events.lock: No such file or directory", "--> src/lib.rs:4:6");
}

/// Here, because these projects are the only ones that do without the feature.
#[test]
fn a_durable_handler_without_its_feature_names_the_features_that_have_it() {
    let project = Project::new("no-durable", "");
    project.write(
        "src/lib.rs",
        "use typed_events::{event, on};

#[event(\"user.created\")]
pub struct UserCreated;

#[on(durable = \"mail\", retries = 2)]
pub fn mail(_: &UserCreated) {}

pub fn select(builder: typed_events::BusBuilder) -> typed_events::BusBuilder {
    builder.handler::<mail>()
}
",
    );
    project.check_refused(
        "error: durable handlers need the feature `durable` of typed-events, which the features of its adapters, `sqlite` and `redis`, contain: `cargo add typed-events --features sqlite`\n",
        "--> src/lib.rs:6:6",
    );
}

#[test]
fn a_view_by_name_is_checked_against_the_lock_of_another_program() {
    let producer = Project::locked("producer", CREATED);
    let view = "#[event(view_of = \"user.created\")]
pub struct Mailed {
    pub email: String,
    pub nick: Option<String>,
}

#[on]
fn mail(user: &Mailed) {
    assert!(format!(\"{:?}\", user.email).contains(\"a@b.c\"));
}
";
    let consumer = Project::new("consumer", view);
    consumer.check_refused(
        "`user.created` is not locked: events.lock/user.created does not exist; a view by name is checked against this file: copy it from the lock of the program that emits the event",
        "--> src/lib.rs:4:19",
    );
    consumer.write("events.lock/user.created", &producer.read("events.lock/user.created"));
    consumer.check().unwrap();
    consumer.source(&view.replace("user.created", "user.creatd"));
    consumer.check_refused(
        "`user.creatd` is not locked: did you mean `user.created`? If not, events.lock/user.creatd does not exist; a view by name is checked against this file",
        "--> src/lib.rs:4:19",
    );
    consumer.source(&view.replace("pub email: String", "pub email: u8"));
    consumer.check_refused(
        "`shop::UserCreated` (`user.created`) can't fill the view `Mailed`: .email: `String` is written, but `u8` is expected; use `String`",
        "--> src/lib.rs:6:9",
    );
    consumer.source(view);
    consumer.write(
        "tests/run.rs",
        "use typed_events::Bus;

#[tokio::test]
async fn json_of_the_other_program_fills_the_view() {
    let bus = Bus::builder().handler::<shop::mail>().build().await.unwrap();
    let emit = |version, json| bus.emit_json(\"user.created\", json).version(version);
    let emitted = emit(1, r#\"{\"id\": 1, \"email\": \"a@b.c\", \"nick\": null}\"#).await.unwrap();
    assert!(emitted.failures().is_empty());
    let emitted = emit(1, r#\"{\"id\": 1}\"#).await.unwrap();
    let failed = emitted.failures()[0].to_string();
    assert!(failed.contains(\"user.created: .email: missing, expected a string\"), \"{failed}\");
    let emitted = emit(2, \"{}\").await.unwrap();
    let failed = emitted.failures()[0].to_string();
    assert!(failed.contains(\"version 2 can't be read, only version 1 is known here\"), \"{failed}\");
    assert!(bus.emit_json(\"user.other\", \"1\").await.is_err());
}
",
    );
    consumer.source(&view.replace("fn mail", "pub fn mail"));
    consumer.cargo(&["test", "-q", "--test", "run"], None).unwrap();
    // A field that is secret in the producer is secret in the view.
    consumer.edit("events.lock/user.created", "    email: String,", "    #[secret] email: String,");
    consumer.check_refused(
        "`shop::UserCreated` (`user.created`) can't fill the view `Mailed`: .email: it is secret, but would be shown here; mark the field `#[event(secret)]`, or use a secret type",
        "--> src/lib.rs:6:9",
    );
    consumer.edit("events.lock/user.created", "#[secret] ", "");
    // The producer gets a new version, and the consumer its file.
    consumer.source(view);
    consumer.edit("events.lock/user.created", "    email: String,", "    mail: String,");
    consumer.check_refused(
        ".email: it is never written, but required; make it optional, or use a field that is written: `id`, `mail`, `nick`",
        "--> src/lib.rs:6:9",
    );
}

#[test]
fn a_producer_that_renames_a_field_fails_its_consumer_and_under_the_lock_itself() {
    let project = Project::new("two", "");
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = |name: &str, more: &str| {
        let dependency = format!("typed-events = {{ path = {root:?}, features = [\"lock\"] }}");
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n{more}"
        )
    };
    project.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"accounts\", \"mailing\"]\n");
    project.write("accounts/Cargo.toml", &manifest("accounts", ""));
    project.write("mailing/Cargo.toml", &manifest("mailing", "accounts = { path = \"../accounts\" }\n"));
    let producer = |macros: &str, field: &str| {
        project.write(
            "accounts/src/lib.rs",
            &format!(
                "use {macros}::event;\n\n#[event(\"user.created\")]\npub struct UserCreated {{\n    pub id: u64,\n    pub {field}: String,\n}}\n"
            ),
        );
    };
    project.write(
        "mailing/src/lib.rs",
        "use typed_events::{event, on};

#[event(view_of = accounts::UserCreated)]
pub struct NewUser {
    pub email: String,
}

#[on]
pub fn welcome(user: &NewUser) {
    let _ = &user.email;
}
",
    );
    producer("typed_events", "email");
    project.check().unwrap();
    producer("typed_events", "mail");
    project.check_refused(
        "error[E0080]: evaluation panicked: `accounts::UserCreated` (`user.created`) can't fill the view `NewUser`: .email: it is never written, but required; make it optional, or use a field that is written: `id`, `mail`
 --> mailing/src/lib.rs:5:9",
        "5 |     pub email: String,",
    );
    // With the lock.
    producer("typed_events::locked", "email");
    project.write(
        "accounts/tests/lock.rs",
        "use accounts as _;\n\n#[test]\nfn locked() -> Result<(), typed_events::Error> {\n    typed_events::schema_lock!().verify()\n}\n",
    );
    project.write_lock().unwrap();
    assert_said(&project.read("events.lock/user.created"), "type \"accounts::UserCreated\"\n");
    project.check().unwrap();
    producer("typed_events::locked", "mail");
    project.check_refused(
        "error[E0080]: evaluation panicked: `user.created` breaks its lock (version 1): old records can't be read: .mail: it is never written, but required; restore its name, if it was `email`, or declare `version = 2`
 --> accounts/src/lib.rs:6:9",
        "could not compile `accounts`",
    );
}

#[test]
fn v2_an_optional_field_beside_a_flattened_map_stays_free_to_change() {
    let fields = |first: &str, second: &str| {
        format!(
            "#[event(\"user.noted\", compatibility = backward)]\npub struct UserNoted {{\n{first}{second}    #[serde(flatten)]\n    pub extra: std::collections::HashMap<String, u64>,\n}}\n"
        )
    };
    let opt = "    #[serde(skip_serializing_if = \"Option::is_none\")]\n    pub opt: Option<u8>,\n";
    let id = "    pub id: u64,\n";
    let project = Project::locked("v2", &fields(opt, id));
    // In another place, and then as a wider type, so that the field is compared with what old programs wrote.
    let wider = opt.replace("u8", "u16");
    for fields in [fields(id, opt), fields(id, &wider)] {
        project.source(&fields);
        project.check().unwrap();
        project.write_lock().unwrap();
        project.test().unwrap();
    }
}

#[test]
fn v3_a_field_that_old_programs_deny_is_refused_inside_a_flattened_struct() {
    let source = |more: &str| {
        format!(
            "#[event(\"user.moved\")]\n#[serde(deny_unknown_fields)]\npub struct UserMoved {{\n    pub id: u64,\n    #[serde(flatten)]\n    pub to: Address,\n}}\n\n#[payload]\npub struct Address {{\n    pub city: String,\n{more}}}\n"
        )
    };
    let project = Project::locked("v3", &source(""));
    project.source(&source("    pub street: Option<String>,\n"));
    project.check_refused(
        "`user.moved` breaks its lock (version 1): programs that know the locked type can't read it: the field `street` is written, but unknown fields are denied; restore it",
        "--> src/lib.rs:6:12",
    );
}
