//! A custom adapter, which writes one event per line to a file: `cargo run --example custom_adapter`.

use std::io::{Error, Write};
use std::path::PathBuf;

use tokio::sync::Mutex;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, LogId, LogPage, LogQuery, Published, Receiver,
    RecordCodec,
};
use typed_events::{Bus, Record, event};

#[event("note.written")]
pub struct NoteWritten {
    pub text: String,
}

/// An adapter that stores events in a file of JSON lines. It does not connect to other buses.
pub struct JsonLines {
    path: PathBuf,
    file: Mutex<std::fs::File>,
}

impl JsonLines {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { path, file: Mutex::new(file) })
    }
}

impl Adapter for JsonLines {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
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
            // A record gets its timestamp when it is encoded. Encoding under the lock makes the timestamps of the file
            // ascend.
            let mut file = self.file.lock().await;
            let lines = records.iter().map(|record| Ok(codec.encode(record)? + "\n"));
            let lines = lines.collect::<Result<String, AdapterError>>()?;
            // A failed write may have stored a part, so the outcome is unknown.
            file.write_all(lines.as_bytes()).map_err(AdapterError::unknown)?;
            Ok(Published::default())
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let text = std::fs::read_to_string(&self.path)?;
            Ok(query.select(text.lines().map(|line| Ok(codec.decode(line)?))))
        })
    }

    // Needed for browsers that resume. The position of a record is the number of its line.
    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let text = std::fs::read_to_string(&self.path)?;
            let records = text.lines().map(|line| Ok(codec.decode(line)?));
            Ok(query.select(LogId::new(*b"notes-of-example"), 1, records))
        })
    }

    fn subscribe(&self, _: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) }) // no other instances write to the file
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(self.file.lock().await.sync_all()?) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("notes-{}.jsonl", std::process::id()));
    for run in 1..=2 {
        let bus = Bus::builder().adapter(JsonLines::open(path.clone())?).build().await?;
        bus.emit(NoteWritten { text: format!("note {run}") }).await?;
        bus.stop().await?;
        // The second run finds the event of the first.
        println!("run {run} knows {} notes", bus.history("note.*").await?.len());
    }
    print!("{}", std::fs::read_to_string(&path)?);
    Ok(std::fs::remove_file(&path)?)
}
