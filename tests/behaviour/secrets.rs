//! Only handlers see secrets, and an adapter as the builder permits. A known text is put into each kind of secret and
//! searched for in every output.

use std::sync::{Arc, LazyLock, Mutex};

use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, InMemory, Published, Receiver, RecordCodec,
};
use typed_events::secret::{Plain, Seal};
use typed_events::{Bus, ErrorKind, Event, Metadata, Record, Schema, Upcast, catalog, event, on, payload};

const CANARY: &str = "c4n4ry-in-a-coal-mine";

#[payload(secret)]
#[derive(PartialEq)]
pub struct Token(String);

#[payload(secret)]
pub struct Card {
    pub number: String,
    pub valid: bool,
}

#[payload]
pub struct Login {
    pub name: String,
    #[event(secret)]
    pub password: String,
}

#[payload]
pub enum Proof {
    None,
    Code {
        #[event(secret)]
        code: String,
        hint: u8,
    },
    Card(Card),
}

#[event("secret.kept", version = 1, superseded)]
pub struct KeptV1 {
    #[event(secret)]
    pub old: String,
}

#[event("secret.kept", version = 2, previous = KeptV1)]
pub struct Kept {
    pub id: u64,
    #[event(secret)]
    pub plain: String,
    #[event(secret)]
    #[serde(default)]
    pub optional: Option<String>,
    pub token: Token,
    pub tokens: Vec<Token>,
    pub login: Login,
    pub proofs: Vec<Proof>,
}

impl Upcast<KeptV1> for Kept {
    fn upcast(old: KeptV1) -> Self {
        Self { plain: old.old, ..kept() }
    }
}

#[event(view_of = Kept)]
struct Seen {
    id: u64,
    #[event(secret)]
    plain: String,
    token: Token,
}

fn kept() -> Kept {
    let text = || CANARY.to_owned();
    Kept {
        id: 7,
        plain: text(),
        optional: Some(text()),
        token: Token(text()),
        tokens: vec![Token(text())],
        login: Login { name: "alice".into(), password: text() },
        proofs: vec![
            Proof::None,
            Proof::Code { code: text(), hint: 3 },
            Proof::Card(Card { number: text(), valid: true }),
        ],
    }
}

/// The values that handlers saw.
#[derive(Default)]
struct Vault(Mutex<Vec<String>>);

#[on]
fn typed(kept: &Kept, vault: &Vault) -> Result<(), String> {
    let mut seen = vault.0.lock().unwrap();
    seen.extend([kept.plain.clone(), kept.token.0.clone(), kept.login.password.clone()]);
    Err(format!("{kept:?} {kept:#?}"))
}

#[on]
fn viewed(view: &Seen, vault: &Vault) -> Result<(), String> {
    vault.0.lock().unwrap().extend([view.plain.clone(), view.token.0.clone()]);
    Err(format!("{view:?} {}", view.id))
}

#[on("secret.*")]
fn record(record: &Record) -> Result<(), String> {
    Err(format!("{record} {record:?} {}", record.json().unwrap()))
}

/// An adapter that stores records, and delivers them to other buses.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<(Vec<String>, Vec<Receiver>)>>);

impl Tape {
    fn text(&self) -> String {
        self.0.lock().unwrap().0.concat()
    }
}

impl Adapter for Tape {
    fn name(&self) -> String {
        "tape".into()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            for record in records {
                let text = codec.encode(record)?;
                let inboxes = self.0.lock().unwrap().1.clone();
                for receiver in inboxes {
                    receiver.deliver(receiver.codec().decode(&text)?).await?;
                }
                self.0.lock().unwrap().0.push(text);
            }
            Ok(Published::default())
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let texts = self.0.lock().unwrap().0.clone();
            Ok(query.select(texts.iter().map(|text| Ok(codec.decode(text)?))))
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.0.lock().unwrap().1.push(receiver);
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A seal that reverses the text instead of encrypting it.
struct Backwards;

impl Seal for Backwards {
    fn seal(&self, json: &str) -> Result<String, String> {
        Ok(json.chars().rev().collect())
    }

    fn open(&self, sealed: &str) -> Result<String, String> {
        Ok(sealed.chars().rev().collect())
    }
}

/// Returns every textual form of a record.
fn texts(record: &Record) -> Vec<String> {
    vec![
        record.to_string(),
        format!("{record:?} {record:#?}"),
        record.json().unwrap().to_owned(),
        record.to_cloudevent().unwrap(),
    ]
}

fn assert_hidden(texts: &[String]) {
    for text in texts {
        assert!(!text.contains(CANARY), "{text}");
    }
}

async fn bus(
    tape: Option<&Tape>,
    seal: Option<Box<dyn FnOnce(typed_events::BusBuilder) -> typed_events::BusBuilder>>,
) -> Result<(Bus, Arc<Vault>), typed_events::Error> {
    logs();
    let vault = Arc::new(Vault::default());
    let mut builder = Bus::builder().shared(Arc::clone(&vault)).quiet();
    builder = builder.handler::<typed>().handler::<viewed>().handler::<record>();
    if let Some(tape) = tape {
        builder = builder.adapter(tape.clone());
    }
    if let Some(seal) = seal {
        builder = seal(builder);
    }
    Ok((builder.build().await?, vault))
}

#[tokio::test]
async fn no_text_of_an_event_has_its_secrets() {
    let event = kept();
    let json = serde_json::to_string(&event).unwrap();
    assert_eq!(
        json,
        r#"{"id":7,"token":"[secret]","tokens":["[secret]"],"login":{"name":"alice"},"proofs":["None",{"Code":{"hint":3}},{"Card":"[secret]"}]}"#
    );
    assert_eq!(
        format!("{event:?}"),
        r#"Kept { id: 7, token: [secret], tokens: [[secret]], login: Login { name: "alice", .. }, proofs: [None, Code { hint: 3, .. }, Card([secret])], .. }"#
    );
    let (bus, vault) = bus(None, None).await.unwrap();
    let mut stream = bus.stream("secret.*").unwrap();
    let emitted = bus.emit(event).await.unwrap();
    assert_eq!(emitted.failures().len(), 3);
    assert_eq!(*vault.0.lock().unwrap(), vec![CANARY; 5], "handlers see all of it");
    let mut sinks: Vec<_> = emitted.failures().iter().map(ToString::to_string).collect();
    sinks.push(format!("{emitted:?}"));
    sinks.extend(texts(emitted.record().unwrap()));
    for record in bus.history("*").await.unwrap() {
        sinks.extend(texts(&record));
    }
    sinks.extend(texts(&stream.next().await.unwrap().unwrap()));
    for event in bus.history("secret.kept").of::<Kept>().await.unwrap() {
        sinks.push(format!("{event:?}"));
        assert_eq!(event.plain, CANARY);
    }
    sinks.push(format!("{:?} {bus:?} {:?}", catalog(), Kept::SCHEMA));
    let logs = logs().0.lock().unwrap().concat();
    assert!(logs.contains("secret.kept"), "{logs}");
    sinks.push(logs);
    assert_hidden(&sinks);
}

#[tokio::test]
async fn v4_the_path_to_a_secret_has_no_keys_of_maps() {
    #[event("secret.weighed")]
    struct Weighed {
        id: u64,
        #[event(secret)]
        by_card: std::collections::BTreeMap<String, f64>,
    }
    let bus = Bus::builder()
        .adapter(typed_events::adapter::InMemory::new())
        .secrets(Plain)
        .quiet()
        .build()
        .await
        .unwrap();
    let by_card = std::collections::BTreeMap::from([(CANARY.to_owned(), f64::NAN)]);
    let error = bus.emit(Weighed { id: 1, by_card }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialize);
    let text = error.to_string();
    assert!(
        text.contains("secret.weighed: the event can't be written as JSON: .by_card: expected a"),
        "{text}"
    );
    assert_hidden(&[text]);
}

#[tokio::test]
async fn v1_a_key_that_is_there_twice_is_not_shown_where_it_is_secret() {
    #[payload]
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Account {
        #[serde(rename = "c4n4ry-in-a-coal-mine")]
        Known,
        #[serde(untagged)]
        Other(String),
    }
    #[event("secret.accounts")]
    struct Accounts {
        #[event(secret)]
        by_account: std::collections::BTreeMap<Account, u8>,
    }
    let bus = Bus::builder()
        .adapter(typed_events::adapter::InMemory::new())
        .secrets(Plain)
        .quiet()
        .build()
        .await
        .unwrap();
    let by_account = [(Account::Known, 1), (Account::Other(CANARY.to_owned()), 2)].into();
    let error = bus.emit(Accounts { by_account }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialize);
    let text = error.to_string();
    assert!(text.ends_with("JSON: .by_account: two entries of the object have the same key"), "{text}");
    assert_hidden(&[text]);
}

#[tokio::test]
async fn events_from_outside_hide_their_secrets_too() {
    let (bus, vault) = bus(None, None).await.unwrap();
    let json = format!(
        r#"{{"id":1,"plain":"{CANARY}","token":"{CANARY}","tokens":[],"login":{{"name":"bob","password":"{CANARY}"}},"proofs":[]}}"#
    );
    let emitted = bus.emit_json("secret.kept", &json).await.unwrap();
    let mut sinks = texts(emitted.record().unwrap());
    let old = format!(r#"{{"old":"{CANARY}"}}"#);
    let emitted = bus.emit_json("secret.kept", &old).version(1).await.unwrap();
    sinks.extend(texts(emitted.record().unwrap()));
    assert_eq!(vault.0.lock().unwrap().len(), 10);
    // Errors about values that do not fit don't contain the values.
    for wrong in [
        json.replace("\"id\":1", "\"id\":true"),
        json.replace("\"tokens\":[]", "\"tokens\":7"),
        json.replace('}', ""),
    ] {
        sinks.push(bus.emit_json("secret.kept", wrong).await.unwrap_err().to_string());
    }
    assert_hidden(&sinks);
}

#[event("secret.dropped", version = 1, superseded)]
struct DroppedV1 {
    id: u32,
    #[event(secret)]
    pin: String,
}

#[event("secret.dropped", version = 2, previous = DroppedV1)]
struct Dropped {
    id: u32,
}

impl Upcast<DroppedV1> for Dropped {
    fn upcast(old: DroppedV1) -> Self {
        assert_ne!(old.pin, "");
        Self { id: old.id }
    }
}

/// Returns a stored record of version 1 with a secret.
fn stored(name: &str, data: &str, more: &str) -> String {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"test","type":"{name}","time":"2026-01-01T00:00:00Z","eventversion":1,"origin":"{id}","data":{data}{more}}}"#
    )
}

#[tokio::test]
async fn an_old_version_hides_what_the_current_one_does_not_have() {
    let old = stored("secret.dropped", &format!(r#"{{"id":1,"pin":"{CANARY}"}}"#), "");
    let record = Record::from_cloudevent(&old).unwrap();
    assert_hidden(&texts(&record));
    assert_eq!(record.json().unwrap(), r#"{"id":1}"#);
    // A panicking upcast shows no secret and ends no other work.
    let record = Record::from_cloudevent(&stored("secret.dropped", r#"{"id":1,"pin":""}"#, "")).unwrap();
    assert!(record.to_string().ends_with("(secret.dropped: the event can't be written as JSON: secret.dropped: reading version 1 of it panicked)"), "{record}");
}

#[event("secret.keys")]
struct Keys {
    #[event(secret)]
    counts: std::collections::HashMap<String, u32>,
    #[event(secret)]
    untagged: Vec<OneOf>,
    #[event(secret)]
    hand: std::collections::HashMap<String, char>,
}

#[payload]
#[serde(untagged)]
enum OneOf {
    Named(std::collections::HashMap<String, bool>),
}

#[tokio::test]
async fn the_keys_of_a_secret_are_not_in_the_path_to_a_mistake() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    let mut said = Vec::new();
    for json in [
        format!(r#"{{"counts":{{"{CANARY}":"x"}},"untagged":[],"hand":{{}}}}"#),
        format!(r#"{{"counts":{{}},"untagged":[{{"{CANARY}":7}}],"hand":{{}}}}"#),
        format!(r#"{{"counts":{{}},"untagged":[],"hand":{{"{CANARY}":"two"}}}}"#),
        format!(r#"{{"counts":{{}},"untagged":[],"hand":{{"{CANARY}":"a","{CANARY}":}}}}"#),
    ] {
        said.push(bus.emit_json("secret.keys", json).await.unwrap_err().to_string());
    }
    assert_eq!(said[0], "secret.keys: .counts: expected an integer from 0 to 4294967295, found a string");
    assert_hidden(&said);
}

#[test]
fn raw_names_are_shown_plain() {
    #[payload]
    #[allow(dead_code, non_camel_case_types)]
    struct r#Match {
        r#type: u8,
        #[event(secret)]
        pin: u8,
    }
    assert_eq!(format!("{:?}", r#Match { r#type: 1, pin: 2 }), "Match { type: 1, .. }");
}

#[tokio::test]
async fn an_adapter_gets_them_only_as_the_builder_says() {
    let tape = Tape::default();
    let error = bus(Some(&tape), None).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Build);
    let message = error.to_string();
    let mut of_kept = message
        .lines()
        .filter(|line| line.starts_with("event `secret.kept` (secrets::Kept (tests/behaviour/secrets.rs:"));
    let line = of_kept.next().expect(&message);
    assert!(
        line.ends_with("has secrets, which tape would store or send: call `.secrets(seal)` to encrypt them, or `.secrets(Plain)` to keep them as plain text"),
        "{message}"
    );

    for plain in [true, false] {
        let tape = Tape::default();
        let seal = || -> Option<Box<dyn FnOnce(typed_events::BusBuilder) -> typed_events::BusBuilder>> {
            match plain {
                true => Some(Box::new(|builder| builder.secrets(Plain))),
                false => Some(Box::new(|builder| builder.secrets(Backwards))),
            }
        };
        let (here, _) = bus(Some(&tape), seal()).await.unwrap();
        let (_there, vault) = bus(Some(&tape), seal()).await.unwrap();
        let emitted = here.emit(kept()).metadata(Metadata::new().with_source("test")).await.unwrap();
        assert_eq!(emitted.failures().len(), 3);
        assert_eq!(*vault.0.lock().unwrap(), vec![CANARY; 5], "the other instance has all of it");
        assert_eq!(tape.text().contains(CANARY), plain, "{}", tape.text());
        assert_eq!(tape.text().contains(r#""sealed":"#), !plain);
        let history = here.history("*").await.unwrap();
        let mut sinks = texts(&history[0]);
        sinks.push(format!("{:?}", history[0].get::<Kept>().unwrap()));
        assert_eq!(history[0].get::<Kept>().unwrap().login.password, CANARY);
        assert_eq!(history[0].view::<Seen>().unwrap().plain, CANARY);
        assert_hidden(&sinks);
        // Reads the records without the seal, and with a changed sealed text.
        let text = tape.text();
        if !plain {
            let error = Record::from_cloudevent(&text).unwrap_err().to_string();
            assert_eq!(
                error,
                "not a stored record: the secrets of `secret.kept` can't be read: only an adapter can decrypt them"
            );
            // A program that does not declare the event shows only the fields outside of the sealed text.
            tape.0.lock().unwrap().0 = vec![text.replace("secret.kept", "secret.unknown")];
            let unknown = &here.history("secret.unknown").await.unwrap()[0];
            assert_hidden(&texts(unknown));
            assert_eq!(unknown.json().unwrap(), history[0].json().unwrap());
        }
    }
}

/// A type without a schema, as if it were of another crate.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Foreign {
    token: Token,
}

#[event("foreign.kept")]
pub struct ForeignKept {
    #[event(opaque)]
    pub foreign: Foreign,
}

#[event("opaque.kept")]
pub struct OpaqueKept {
    #[event(opaque)]
    pub number: u8,
}

#[tokio::test]
async fn a_secret_that_no_schema_shows_is_not_sent() {
    let tape = Tape::default();
    let (bus, _) = bus(Some(&tape), Some(Box::new(|builder| builder.secrets(Plain)))).await.unwrap();
    let error = bus.emit(ForeignKept { foreign: Foreign { token: Token(CANARY.into()) } }).await.unwrap_err();
    assert!(
        error.to_string().ends_with(
            "foreign.kept: its secrets can't be stored or sent: an opaque field contains secrets that its schema does not show"
        ),
        "{error}"
    );
    assert_eq!(tape.text(), "");
    bus.emit(OpaqueKept { number: 7 }).await.unwrap();
    assert!(tape.text().contains(r#""data":{"number":7}"#), "{}", tape.text());
}

#[tokio::test]
async fn a_text_without_the_secrets_is_not_read_as_the_event() {
    let (bus, _) = bus(None, None).await.unwrap();
    let emitted = bus.emit(kept()).await.unwrap();
    let text = emitted.record().unwrap().to_cloudevent().unwrap();
    assert!(text.contains(r#""redacted":true"#), "{text}");
    assert_eq!(
        Record::from_cloudevent(&text).unwrap_err().to_string(),
        "not a stored record: the secrets of `secret.kept` are omitted from this text: only records stored by an adapter contain them"
    );
}

/// A seal with another key, so it can't open texts that were sealed before.
struct OtherKey;

impl Seal for OtherKey {
    fn seal(&self, json: &str) -> Result<String, String> {
        Ok(json.to_owned())
    }

    fn open(&self, _: &str) -> Result<String, String> {
        Err("it is sealed under another key".to_owned())
    }
}

#[event("secret.card.used")]
pub struct CardUsed {
    #[event(secret)]
    pub number: String,
}

#[event("secret.card.lost")]
pub struct CardLost {
    #[event(secret)]
    pub number: String,
}

#[tokio::test]
async fn s8_records_that_cannot_be_read_are_one_line_for_each_name() {
    let (logs, memory) = (logs(), InMemory::new());
    let build = || Bus::builder().no_handlers().quiet().adapter(memory.clone());
    let (other, bus) =
        (build().secrets(Backwards).build().await.unwrap(), build().secrets(OtherKey).build().await.unwrap());
    for number in 1..=1_500 {
        other.emit(CardUsed { number: CANARY.into() }).await.unwrap();
        other.emit(CardLost { number: CANARY.into() }).await.unwrap();
        while bus.stats().lost < 2 * number {
            tokio::task::yield_now().await;
        }
    }
    let lines = logs.0.lock().unwrap().clone();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("`secret.card.")).collect();
    assert_eq!((told.len(), bus.stats().lost), (2, 3_000), "{:?}", &told[..2]);
    for (line, name) in told.iter().zip(["used", "lost"]) {
        let said = format!(
            "the event `secret.card.{name}` from memory can't be read, and is lost (others like it are only counted): "
        );
        assert!(line.contains(&said) && line.contains("another key") && !line.contains(CANARY), "{line}");
    }
}

#[test]
fn the_schema_says_what_is_secret() {
    assert!(Kept::SCHEMA.has_secrets());
    assert!(Token::TYPE.has_secrets() && Login::TYPE.has_secrets() && Proof::TYPE.has_secrets());
    assert!(!<Vec<String>>::TYPE.has_secrets());
    // The field is always in stored records, so a secret is no reason to refuse a version.
    assert!(Kept::SCHEMA.can_read(Kept::SCHEMA).is_ok());
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

/// The subscriber of all tests. A log statement that first runs without a subscriber would stay disabled.
fn logs() -> &'static Logs {
    static LOGS: LazyLock<Logs> = LazyLock::new(|| {
        let logs = Logs::default();
        tracing::subscriber::set_global_default(logs.clone()).unwrap();
        logs
    });
    &LOGS
}

impl tracing::Subscriber for Logs {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.lock().unwrap().push(format!("{attributes:?}"));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.0.lock().unwrap().push(format!("{values:?}"));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
