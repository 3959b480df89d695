//! The clients, and what they write down of each call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::history::{History, Operation};
use crate::model::{Book, Call, Outcome};
use crate::support::api::{Answer, Api};
use crate::support::mesh;

/// How many books there are at any time: few, so that clients meet.
const BOOKS: usize = 5;

/// Everything that all clients share.
pub struct Library {
    began: Instant,
    /// The books that are there, as far as clients know.
    shelf: Mutex<Vec<Arc<Copy>>>,
    /// All that ever were.
    all: Mutex<Vec<Arc<Copy>>>,
    /// The next value that nobody has written.
    next: AtomicU64,
    closed: AtomicBool,
    /// Why outcomes are unknown, and how often.
    reasons: Mutex<BTreeMap<String, usize>>,
}

/// One book and what was asked of it.
pub struct Copy {
    pub id: String,
    start: Book,
    operations: Mutex<Vec<Operation>>,
}

impl Copy {
    pub fn history(&self) -> History {
        History::new(Some(self.start), self.operations.lock().unwrap().clone())
    }
}

impl Library {
    /// A library with its first books.
    pub async fn open(api: &Api) -> Self {
        let library = Self {
            began: Instant::now(),
            shelf: Mutex::default(),
            all: Mutex::default(),
            next: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            reasons: Mutex::default(),
        };
        for _ in 0..BOOKS {
            let copy = library.buy(api).await.expect("a book while all is well");
            library.shelf.lock().unwrap().push(copy);
        }
        library
    }

    /// Adds a book; nothing when it is not known whether it is there.
    async fn buy(&self, api: &Api) -> Option<Arc<Copy>> {
        let value = self.value();
        let info = json!({"name": format!("Book {value}"), "author": "Somebody", "mark": value});
        let body = json!({"type": "book", "rack_id": mesh::RACK, "info": info});
        let answer = api.try_send(Method::POST, "/books", Some(body)).await.ok()?;
        let data = (answer.status == StatusCode::CREATED).then(|| &answer.body["data"])?;
        let id = data["id"].as_str().unwrap().to_owned();
        let copy = Arc::new(Copy { id, start: book(data), operations: Mutex::default() });
        self.all.lock().unwrap().push(copy.clone());
        Some(copy)
    }

    fn value(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Clients end after the call that each is at.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn all(&self) -> Vec<Arc<Copy>> {
        self.all.lock().unwrap().clone()
    }

    /// One client's calls, one after the other, until the library closes. Some only read: where
    /// writes wait, somebody has to be there who sees what is shown meanwhile.
    pub async fn visit(&self, client: usize, api: &Api, writes: bool, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.closed.load(Ordering::Relaxed) {
            let call = match random.random_range(0..100) {
                0..25 => Call::Read,
                _ if !writes => Call::Read,
                25..65 => Call::Mark(self.value()),
                65..82 => Call::CheckOut(self.value()),
                82..99 => Call::Return,
                _ => Call::Remove,
            };
            // Some look for what may be gone.
            let anywhere = call == Call::Read && random.random_bool(0.05);
            let copy = self.pick(anywhere, &mut random);
            // Some clients give up early; what they asked for goes on without them.
            let patience = Duration::from_millis(random.random_range(500..20_000));
            let outcome = self.ask(client, api, &copy, call, patience).await;
            let removed = call == Call::Remove && matches!(outcome, Outcome::Is(_));
            if removed || outcome == Outcome::Gone {
                self.replace(api, &copy).await;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
    }

    fn pick(&self, anywhere: bool, random: &mut StdRng) -> Arc<Copy> {
        let copies = if anywhere { &self.all } else { &self.shelf };
        let copies = copies.lock().unwrap();
        copies[random.random_range(0..copies.len())].clone()
    }

    /// Puts a new book in the place of one that is gone.
    async fn replace(&self, api: &Api, gone: &Arc<Copy>) {
        let stands = |shelf: &[Arc<Copy>]| shelf.iter().position(|it| Arc::ptr_eq(it, gone));
        if stands(&self.shelf.lock().unwrap()).is_none() {
            return;
        }
        let Some(bought) = self.buy(api).await else { return };
        let mut shelf = self.shelf.lock().unwrap();
        if let Some(place) = stands(&shelf) {
            shelf[place] = bought;
        }
    }

    /// One call, written down.
    pub async fn ask(
        &self,
        client: usize,
        api: &Api,
        copy: &Copy,
        call: Call,
        patience: Duration,
    ) -> Outcome {
        let path = format!("/books/{}", copy.id);
        let checkout = |info: Value| Some(json!({"id": copy.id, "info": info}));
        let (method, path, body) = match call {
            Call::Read => (Method::GET, path.as_str(), None),
            Call::Mark(mark) => (Method::PUT, path.as_str(), Some(json!({"info": {"mark": mark}}))),
            Call::Remove => (Method::DELETE, path.as_str(), None),
            Call::CheckOut(holder) => {
                let info = json!({"status": "checked-out", "userId": holder.to_string()});
                (Method::POST, "/checkout", checkout(info))
            }
            Call::Return => (Method::POST, "/checkout", checkout(json!({"status": "available"}))),
        };
        let begun = self.now();
        let answer = tokio::time::timeout(patience, api.try_send(method, path, body)).await;
        let ended = self.now().max(begun + 1);
        let outcome = match answer {
            Ok(Ok(answer)) => outcome(&answer).unwrap_or_else(|reason| self.unknown(&reason)),
            Ok(Err(error)) => self.unknown(&error.to_string()),
            Err(_) => self.unknown("the client gave up"),
        };
        let operation = Operation { client, call, outcome, begun, ended };
        copy.operations.lock().unwrap().push(operation);
        outcome
    }

    fn unknown(&self, reason: &str) -> Outcome {
        *self.reasons.lock().unwrap().entry(reason.to_owned()).or_default() += 1;
        Outcome::Unknown
    }

    /// Why outcomes are unknown, and how often.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        self.reasons.lock().unwrap().clone()
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos().try_into().unwrap()
    }

    /// How many calls of each kind came to what.
    pub fn tally(&self) -> BTreeMap<(&'static str, &'static str), usize> {
        let mut tally = BTreeMap::new();
        for copy in self.all() {
            for operation in copy.operations.lock().unwrap().iter() {
                let call = match operation.call {
                    Call::Read => "read",
                    Call::Mark(_) => "mark",
                    Call::CheckOut(_) => "check out",
                    Call::Return => "return",
                    Call::Remove => "remove",
                };
                let outcome = match operation.outcome {
                    Outcome::Is(_) => "done",
                    Outcome::Conflict => "conflict",
                    Outcome::Gone => "gone",
                    Outcome::Unknown => "unknown",
                };
                *tally.entry((call, outcome)).or_default() += 1;
            }
        }
        tally
    }
}

/// What an answer means; or why it is not known what became of the call.
fn outcome(answer: &Answer) -> Result<Outcome, String> {
    match answer.status {
        StatusCode::OK => Ok(Outcome::Is(book(&answer.body["data"]))),
        StatusCode::NOT_FOUND => Ok(Outcome::Gone),
        StatusCode::CONFLICT => Ok(Outcome::Conflict),
        status if status.is_server_error() => Err(answer.body["error"]["message"].to_string()),
        status => panic!("nobody asked for {status}: {}", answer.body),
    }
}

fn book(data: &Value) -> Book {
    let info = &data["info"];
    let holder = info["userId"].as_str().map(|holder| holder.parse().unwrap());
    let status = if holder.is_some() { "checked-out" } else { "available" };
    assert_eq!(info["status"], status, "{data}");
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number in {data}"));
    Book { version: number(&data["version"]), mark: number(&info["mark"]), holder }
}
