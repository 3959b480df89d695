//! A client that shows exactly what came over the wire.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::contract::Contract;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it, and holds the answer against the API's document.
    pub(crate) async fn send(self, to: SocketAddr) -> Reply {
        let (method, path) = (self.method, self.path.clone());
        let reply = self.exchange(to).await;
        if let Some(contract) = Contract::at(to).await {
            contract.judge(method, &path, &reply);
        }
        reply
    }

    pub(crate) async fn exchange(self, to: SocketAddr) -> Reply {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\nhost: test\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.unwrap_or_default();
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses a body may close before it has read all of it.
        let _ = stream.write_all(&body).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        Reply::parse(&bytes)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        });
        Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The envelope's data.
    pub(crate) fn data(&self) -> Value {
        let mut json = self.json();
        assert_eq!(json["statusCode"], self.status, "{json}");
        json["data"].take()
    }

    /// The error's code, its shape checked.
    pub(crate) fn error(&self, status: u16) -> String {
        let json = self.json();
        assert_eq!((self.status, &json["status"]), (status, &"error".into()), "{json}");
        assert_eq!(json["statusCode"], status);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(json["requestId"].as_str(), self.header("x-request-id"));
        assert!(json["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The fields that the error names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["error"]["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}
