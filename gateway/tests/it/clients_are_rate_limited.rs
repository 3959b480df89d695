//! One client that asks too much is told so, and nobody else notices.

use std::num::NonZeroU32;

use bookmesh_gateway::{EdgeConfig, GatewayConfig, RateLimit, ServeConfig};

use crate::support::{Reply, Request, World};

/// So few a second that no test gets another token by being slow.
const SLOWLY: NonZeroU32 = NonZeroU32::MIN;

fn limited(burst: u32, proxies: &str) -> EdgeConfig {
    let burst = NonZeroU32::new(burst).unwrap();
    EdgeConfig {
        cors: Some("https://books.example".parse().unwrap()),
        rate_limit: Some(RateLimit { per_second: SLOWLY, burst }),
        trusted_proxies: proxies.parse().unwrap(),
    }
}

async fn world(edge: EdgeConfig) -> World {
    let serving = ServeConfig { edge, ..ServeConfig::default() };
    let config = GatewayConfig { replicas: 1, ..GatewayConfig::default() };
    World::start_behind(1, config, serving).await
}

/// Asks until it is refused; no more often than a burst and the tokens of a very slow machine.
async fn refused(ask: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..1_000 {
        let reply = ask().await;
        if reply.status == 429 {
            return reply;
        }
    }
    panic!("nothing was ever refused")
}

#[tokio::test]
async fn a_client_over_its_limit_gets_429_that_browsers_can_read() {
    // A world asks its own gateway some times until it is there.
    let world = world(limited(100, "")).await;
    let ask = async || {
        let origin = Request::new("GET", "/racks").header("origin", "https://books.example");
        origin.header("x-request-id", "me-1").send(world.at).await
    };
    let reply = refused(ask).await;
    assert_eq!(reply.error(429), "ERR_RATE_LIMITED");
    assert_eq!(reply.header("x-request-id"), Some("me-1"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://books.example"));
    assert!(reply.header("access-control-expose-headers").unwrap().contains("Retry-After"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    for path in ["/live", "/ready", "/health", "/metrics"] {
        for _ in 0..20 {
            assert_ne!(world.get(path).await.status, 429, "{path}");
        }
    }
    let metrics = world.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    let counted = metrics.lines().find_map(|line| line.strip_prefix("http_rate_limited_total "));
    assert!(counted.unwrap().parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_a_limit_of_its_own() {
    let world = world(limited(100, "127.0.0.0/8")).await;
    let by = async |chain: &str| {
        Request::new("GET", "/racks").header("x-forwarded-for", chain).send(world.at).await
    };
    refused(async || by("1.1.1.1").await).await;
    assert_eq!(by("9.9.9.9, 1.1.1.1").await.status, 429, "what is left of it does not count");
    assert_eq!(by("2.2.2.2").await.status, 200);
}

#[tokio::test]
async fn a_proxy_can_be_known_by_name() {
    let world = world(limited(100, "localhost")).await;
    let by = async |chain: &str| {
        Request::new("GET", "/racks").header("x-forwarded-for", chain).send(world.at).await
    };
    // Until the name was looked up, all of them are the proxy itself: the second may get the one
    // token that came since, and not several.
    let second = async || {
        for _ in 0..5 {
            if by("2.2.2.2").await.status != 200 {
                return false;
            }
        }
        true
    };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        refused(async || by("1.1.1.1").await).await;
        if second().await {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the name was never looked up");
    }
}

#[tokio::test]
async fn nobody_gets_a_new_limit_by_an_invented_address() {
    let world = world(limited(100, "")).await;
    let number = std::cell::Cell::new(0);
    let ask = async || {
        number.set(number.get() + 1);
        let invented = format!("1.1.{}.{}", number.get() / 250, number.get() % 250);
        Request::new("GET", "/racks").header("x-forwarded-for", &invented).send(world.at).await
    };
    assert_eq!(refused(ask).await.error(429), "ERR_RATE_LIMITED");
}
