//! A client of the language server protocol, with the requests that the tests need.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::without_settings;

/// Maximum time without a message from the server.
const MAX_SILENCE: Duration = Duration::from_secs(300);

/// How many messages of the server may be unread: more than it sends while all requests of a file are written to it, since
/// it reads none while it can't write.
const MAX_UNREAD: usize = 65_536;

/// Error code of a request that the server cancelled because a file has changed.
const CONTENT_MODIFIED: i64 = -32801;

/// A rust-analyzer process. It ends when this is dropped or the test process ends.
pub(crate) struct Client {
    stdin: ChildStdin,
    messages: Receiver<Value>,
    requests: u64,
    /// The version and text of each open file.
    open: HashMap<PathBuf, (u64, String)>,
}

impl Client {
    /// Starts the server on a folder, and waits until it has read all of it.
    pub(crate) fn start(folder: &Path, options: Value) -> Self {
        let mut server = Command::new("rust-analyzer");
        without_settings(server.current_dir(folder));
        server.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let (stdin, stdout) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
        let (sender, messages) = sync_channel(MAX_UNREAD);
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(message) = read(&mut stdout) {
                if sender.send(message).is_err() {
                    break;
                }
            }
            let _ = server.wait();
        });
        let mut client = Self { stdin, messages, requests: 0, open: HashMap::new() };
        let capabilities = json!({
            "experimental": { "serverStatusNotification": true },
            "textDocument": {
                "completion": { "completionItem": {
                    "documentationFormat": ["markdown"],
                    "resolveSupport": { "properties": ["documentation", "detail", "additionalTextEdits"] },
                } },
                "definition": { "linkSupport": true },
                "diagnostic": {},
                "hover": { "contentFormat": ["markdown"] },
            },
        });
        client.ask(
            "initialize",
            json!({
                "processId": std::process::id(),
                "rootUri": uri(folder),
                "capabilities": capabilities,
                "initializationOptions": options,
            }),
        );
        client.tell("initialized", json!({}));
        client.wait_until_quiet();
        client
    }

    fn wait_until_quiet(&mut self) {
        loop {
            let message = self.next();
            if message["method"] == "experimental/serverStatus" && message["params"]["quiescent"] == true {
                assert_eq!(message["params"]["health"], "ok", "{message}");
                return;
            }
        }
    }

    /// Returns the next message of the server. Replies to its requests with an empty result.
    fn next(&mut self) -> Value {
        let message = self.messages.recv_timeout(MAX_SILENCE).expect("rust-analyzer sends a message");
        if !message["method"].is_null() && !message["id"].is_null() {
            let result = match message["method"].as_str() {
                Some("workspace/configuration") => {
                    let items = message["params"]["items"].as_array().map_or(0, Vec::len);
                    Value::Array(vec![Value::Null; items])
                }
                _ => Value::Null,
            };
            self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
        }
        message
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request, and returns the reply.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.ask_all(method, vec![params]).remove(0)
    }

    /// Sends several requests at once, and returns the replies.
    pub(crate) fn ask_all(&mut self, method: &str, all: Vec<Value>) -> Vec<Value> {
        let mut answers = vec![Value::Null; all.len()];
        let mut waiting = HashMap::new();
        for (index, params) in all.iter().enumerate() {
            waiting.insert(self.request(method, params), index);
        }
        while !waiting.is_empty() {
            let mut message = self.next();
            let Some(id) = message["id"].as_u64().filter(|_| message["method"].is_null()) else { continue };
            let index = waiting.remove(&id).expect("it was asked");
            if message["error"]["code"] == CONTENT_MODIFIED {
                waiting.insert(self.request(method, &all[index]), index);
                continue;
            }
            assert!(message["error"].is_null(), "{method}: {}", message["error"]);
            answers[index] = message["result"].take();
        }
        answers
    }

    fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// Opens a file, or replaces its text in the editor.
    pub(crate) fn write(&mut self, path: &Path, text: &str) {
        let document = uri(path);
        let version = self.open.get(path).map_or(1, |(version, _)| version + 1);
        self.open.insert(path.to_owned(), (version, text.to_owned()));
        if version == 1 {
            let document = json!({ "uri": document, "languageId": "rust", "version": version, "text": text });
            return self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        }
        self.tell(
            "textDocument/didChange",
            json!({
                "textDocument": { "uri": document, "version": version },
                "contentChanges": [{ "text": text }],
            }),
        );
    }

    /// Returns the hover text at a position.
    pub(crate) fn hover(&mut self, at: Value) -> String {
        let answer = self.ask("textDocument/hover", at);
        answer["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the completions at a position.
    pub(crate) fn complete(&mut self, at: Value) -> Vec<Value> {
        let answer = self.ask("textDocument/completion", at);
        let items = if answer.is_array() { &answer } else { &answer["items"] };
        items.as_array().cloned().unwrap_or_default()
    }

    /// Returns the errors and warnings in a file, each with its position, without hints such as inactive code.
    pub(crate) fn diagnostics(&mut self, path: &Path) -> Vec<String> {
        let answer = self.ask("textDocument/diagnostic", json!({ "textDocument": { "uri": uri(path) } }));
        let items = answer["items"].as_array().expect("a report");
        let severe =
            items.iter().filter(|item| item["severity"].as_u64().is_none_or(|severity| severity <= 2));
        severe.map(|item| format!("{}: {}", item["range"]["start"], item["message"])).collect()
    }
}

/// Returns the position of a byte in a file, whose text must be ASCII.
pub(crate) fn place(path: &Path, text: &str, at: usize) -> Value {
    let before = &text[..at];
    let line = before.matches('\n').count();
    let character = at - before.rfind('\n').map_or(0, |newline| newline + 1);
    json!({ "textDocument": { "uri": uri(path) }, "position": { "line": line, "character": character } })
}

/// The text of a range of a text.
pub(crate) fn text_at(text: &str, range: &Value) -> String {
    let byte = |position: &Value| {
        let line = position["line"].as_u64().unwrap_or_default() as usize;
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        start + position["character"].as_u64().unwrap_or_default() as usize
    };
    text.get(byte(&range["start"])..byte(&range["end"])).unwrap_or_default().to_owned()
}

pub(crate) fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// The path of a URI.
pub(crate) fn path_of(uri: &Value) -> PathBuf {
    PathBuf::from(uri.as_str().unwrap_or_default().trim_start_matches("file://"))
}

/// Reads a message. Returns `None` if the server has ended.
fn read(stdout: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stdout.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
