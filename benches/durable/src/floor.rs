//! The floor: SQLite called directly, with the same rows, indexes and durability.

use std::path::Path;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// A log with the schema of the adapter's.
pub struct Floor(Connection);

impl Floor {
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let tables = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE log (position INTEGER PRIMARY KEY, id BLOB NOT NULL, name TEXT NOT NULL,
                version INTEGER NOT NULL, time INTEGER NOT NULL, origin BLOB NOT NULL, outbox INTEGER NOT NULL,
                crc INTEGER NOT NULL, text TEXT NOT NULL);
            CREATE UNIQUE INDEX log_id ON log (id);
            CREATE INDEX log_name ON log (name);";
        connection.execute_batch(tables).unwrap();
        Self(connection)
    }

    /// Appends rows in one commit.
    pub fn append<'a>(&self, texts: impl IntoIterator<Item = (u128, &'a str)>) {
        let Self(connection) = self;
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        {
            let insert = "INSERT INTO log (id, name, version, time, origin, outbox, crc, text)
                VALUES (?1, 'bench.stored', 1, ?2, ?3, 0, 12345, ?4) ON CONFLICT (id) DO NOTHING";
            let mut insert = connection.prepare_cached(insert).unwrap();
            for (id, text) in texts {
                insert.execute((id.to_be_bytes(), 1_790_000_000_000_000_i64, [7_u8; 16], text)).unwrap();
            }
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }
}

type Job = (u128, String, oneshot::Sender<()>);

/// A thread that appends the rows of all waiting tasks in one commit.
#[derive(Clone)]
pub struct Group(mpsc::Sender<Job>);

impl Group {
    pub fn start(floor: Floor) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(4096);
        std::thread::spawn(move || {
            let mut batch = Vec::new();
            while queue.blocking_recv_many(&mut batch, 1024) > 0 {
                floor.append(batch.iter().map(|(id, text, _)| (*id, text.as_str())));
                for (_, _, done) in batch.drain(..) {
                    let _ = done.send(());
                }
            }
        });
        Self(jobs)
    }

    pub async fn append(&self, id: u128, text: String) {
        let (done, stored) = oneshot::channel();
        self.0.send((id, text, done)).await.unwrap();
        stored.await.unwrap();
    }
}
