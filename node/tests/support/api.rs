//! The HTTP API as a test uses it.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

pub struct Api {
    client: Client,
    base: String,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    pub fn new(base: impl Into<String>) -> Self {
        Self { client: Client::new(), base: base.into() }
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        Self::answer(self.client.request(method, format!("{}{path}", self.base)), body).await
    }

    /// A request to be given headers, for [`Api::answer`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn answer(
        mut request: RequestBuilder,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }

    /// Sends a write under a client's key.
    pub async fn keyed(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        Self::answer(request.header("idempotency-key", key), body).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Registers a book that has to be accepted, and returns its id.
    pub async fn add(&self, name: &str) -> String {
        let answer = self.post("/books", book(name)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["data"]["id"].as_str().unwrap().to_owned()
    }

    /// How many books there are, by `X-Total-Count`.
    pub async fn count(&self) -> u64 {
        let answer = self.get("/books?limit=1").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.header("x-total-count").parse().unwrap()
    }

    /// The rack as `/racks/{id}` shows it.
    pub async fn rack(&self, id: &str) -> Value {
        let answer = self.get(&format!("/racks/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["data"].clone()
    }
}

pub fn book(name: &str) -> Value {
    let info = json!({"name": name, "author": "Somebody", "status": "available"});
    json!({"type": "book", "tags": [], "info": info})
}
