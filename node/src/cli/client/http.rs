//! Requests to a gateway, and what their answers mean.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failure;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the gateway's own deadline, so that it can say why.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read: a page of the log with entries of 64 KiB, twice as hex digits
/// and as JSON.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Characters of an unexpected answer that are shown.
const MAX_SHOWN_CHARS: usize = 200;

/// One gateway.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
}

/// An answer of success.
#[derive(Debug)]
pub(super) struct Answer {
    /// The count of all that match, where the answer is a page.
    pub(super) total: Option<u64>,
    body: Value,
}

impl Answer {
    /// What the envelope holds, or the whole body where there is none.
    pub(super) fn data(self) -> Value {
        match self.body {
            Value::Object(mut object) if object.contains_key("statusCode") => {
                object.remove("data").unwrap_or(Value::Null)
            }
            body => body,
        }
    }

    /// The data as a type.
    pub(super) fn typed<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_value(self.data()).map_err(|error| {
            let what = "the gateway's answer is not understood, is it another version?";
            Failure::Failed(format!("{what} {error}"))
        })
    }
}

impl Api {
    /// A gateway at this URL.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let base = checked(url)?;
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The system's knows more (LDAP, systemd), where it can be loaded.
            .hickory_dns(cfg!(target_feature = "crt-static"))
            .build()
            .map_err(|error| Failure::Failed(format!("can't make an HTTP client: {error}")))?;
        Ok(Self { client, base })
    }

    /// Reads.
    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Answer, Failure> {
        self.answer(self.request(Method::GET, path).query(query)).await
    }

    /// Writes a JSON value.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, Failure> {
        self.answer(self.request(method, path).json(body)).await
    }

    /// Removes.
    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// Posts a body that is JSON already.
    pub(super) async fn post_bytes(
        &self,
        path: &str,
        body: bytes::Bytes,
    ) -> Result<Answer, Failure> {
        let request = self.request(Method::POST, path);
        self.answer(request.header("Content-Type", "application/json").body(body)).await
    }

    /// Opens an answer that has no end. Only its beginning has a deadline.
    pub(super) async fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Response, Failure> {
        let opening = self.request(Method::GET, path).query(query).send();
        let response = tokio::time::timeout(ANSWER_TIMEOUT, opening)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, body) = (response.status(), self.body(response).await?);
        Err(refusal(status, &body))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let exchange = async {
            let response = request.send().await.map_err(|error| self.broken(&error))?;
            let status = response.status();
            let total = response.headers().get("x-total-count");
            let total = total.and_then(|text| text.to_str().ok()?.parse().ok());
            let body = self.body(response).await?;
            if !status.is_success() {
                return Err(refusal(status, &body));
            }
            let body = serde_json::from_slice(&body).map_err(|_| self.no_gateway(&body))?;
            Ok(Answer { total, body })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| self.silent())?
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let what =
                    format!("{} answered with more than {MAX_ANSWER_BYTES} bytes", self.base);
                return Err(Failure::Failed(what));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn no_gateway(&self, body: &[u8]) -> Failure {
        Failure::Failed(format!("{} is no Bookmesh gateway: it answered {}", self.base, cut(body)))
    }

    fn silent(&self) -> Failure {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Failure::Unreachable(format!("{} did not answer within {seconds} s", self.base))
    }

    /// What a request without an answer means.
    pub(super) fn broken(&self, error: &reqwest::Error) -> Failure {
        let base = &self.base;
        Failure::Unreachable(if error.is_connect() {
            format!("nothing answers at {base}: start a mesh with `bookmesh up`, or give --url")
        } else {
            format!("the connection to {base} broke: {}; try again", root_cause(error))
        })
    }
}

fn checked(url: &str) -> Result<String, Failure> {
    let usage =
        |what: &str| Failure::Usage(format!("{url:?} {what}, such as http://127.0.0.1:3000"));
    let parsed = Url::parse(url).map_err(|_| usage("is no URL: give one"))?;
    if parsed.scheme() != "http" {
        return Err(usage("is not served: give an http URL"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn cut(body: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(body).chars().take(MAX_SHOWN_CHARS).collect::<String>())
}

/// The error envelope in one line: message, code, request id.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str);
    let message = match (text("/error/message"), text("/error/code"), text("/requestId")) {
        (Some(message), Some(code), Some(id)) => format!("{message} ({code}, request {id})"),
        (Some(message), Some(code), None) => format!("{message} ({code})"),
        _ => format!("the gateway answered {status}: {}", cut(body)),
    };
    Failure::Refused { status: status.as_u16(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_taken() {
        assert_eq!(checked("http://127.0.0.1:3000/").unwrap(), "http://127.0.0.1:3000");
        for wrong in ["https://a", "127.0.0.1:3000", "", "ftp://a"] {
            assert!(matches!(checked(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn an_error_envelope_becomes_one_line_and_anything_else_is_quoted() {
        let body = br#"{"status":"error","statusCode":404,"error":{"code":"ERR_BOOK_NOT_FOUND",
            "message":"there is no thing 9"},"requestId":"r1"}"#;
        let failure = refusal(StatusCode::NOT_FOUND, body);
        let line = failure.line().unwrap();
        assert_eq!(line, "there is no thing 9 (ERR_BOOK_NOT_FOUND, request r1)");
        assert!(!failure.is_passing());
        let failure = refusal(StatusCode::SERVICE_UNAVAILABLE, b"<html>");
        assert!(failure.is_passing() && failure.line().unwrap().contains("<html>"));
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let failure = Api::new(&url).unwrap().get("/racks", &[]).await.unwrap_err();
        let line = failure.line().unwrap();
        assert!(line.contains("bookmesh up") && line.contains("--url"), "{line}");
    }
}
