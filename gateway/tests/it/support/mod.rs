pub(crate) mod contract;
pub(crate) mod edge;
pub(crate) mod fake_orders;
pub(crate) mod fake_ork;
pub(crate) mod fake_worker;
pub(crate) mod http;
pub(crate) mod world;

pub(crate) use http::{Reply, Request};
pub(crate) use world::World;
