//! A leader that is cut off from the others, with a gateway on its side, answers neither writes
//! nor linearizable reads. The others go on, and once all are together again they agree.

use std::time::Duration;

use reqwest::Method;

use crate::support::api::{Api, book};
use crate::support::lan_mesh::{self, LanMesh};
use crate::support::writers::{Writers, others_there};
use crate::support::{Lan, eventually};

const MAJORITY: usize = 0;
const MINORITY: usize = 1;

#[test]
fn neither_writes_nor_reads_until_it_is_one_rack_again() {
    if let Some(lan) = Lan::new(lan_mesh::hosts(3)) {
        lan.run(part_and_heal(&lan));
    }
}

async fn part_and_heal(lan: &Lan) {
    let dir = tempfile::tempdir().unwrap();
    let mut mesh = LanMesh::start(lan, dir.path(), 3).await;
    let minority = mesh.api(MINORITY);
    let known = minority.add("Before").await;
    let leader = mesh.leader(MINORITY).await.unwrap();

    mesh.cut_off(leader, Some(MINORITY));
    let path = format!("/books/{known}");
    let checkout = serde_json::json!({"id": known, "info": {"status": "checked-out"}});
    let refusals = (0..4).map(|number| {
        let new = book(&format!("Refused {number}"));
        let (minority, path, checkout) = (&minority, &path, &checkout);
        async move {
            tokio::join!(
                refused(minority, Method::GET, path, None),
                refused(minority, Method::POST, "/books", Some(new)),
                refused(minority, Method::POST, "/checkout", Some(checkout.clone())),
            );
            refused(minority, Method::GET, path, None).await;
        }
    });
    let majority = mesh.api(MAJORITY);
    let go_on = async {
        // The gateway there may wait for an answer of the old leader first.
        let first = eventually("a write without the old leader", || async {
            let answer = majority.post("/books", book("After")).await;
            (answer.status == 201).then(|| answer.body["data"]["id"].as_str().unwrap().to_owned())
        })
        .await;
        let mut writers = Writers::start(2, &mesh.url(MAJORITY), "Meanwhile");
        writers.go_on().await;
        (first, writers.stop().await)
    };
    let (_, (first, mut books)) = tokio::join!(futures::future::join_all(refusals), go_on);
    mesh.heal();
    mesh.well().await;

    books.ids.extend([("Before".to_owned(), known.clone()), ("After".to_owned(), first)]);
    for gateway in [MAJORITY, MINORITY] {
        // A call that was on its way to the others when the link broke may arrive after all: a
        // 5xx says that it is not known. What the old leader took is not among them.
        let others = others_there(&mesh.api(gateway), &books.ids).await;
        assert!(others.iter().all(|name| name.starts_with("Refused")), "{others:?}");
        assert_eq!(mesh.api(gateway).get(&path).await.status, 200);
    }
}

/// A request that nobody there may answer, be it with yes or with no.
async fn refused(api: &Api, method: Method, path: &str, body: Option<serde_json::Value>) {
    let what = format!("{method} {path}");
    let answer = tokio::time::timeout(Duration::from_secs(30), api.send(method, path, body)).await;
    let answer = answer.expect("every request ends");
    assert!(answer.status.is_server_error(), "{what}: {} {}", answer.status, answer.body);
}
