//! What a client of the API sees, from real Delta tables through a real socket. The city is small and made by hand:
//! `city.rs` writes it, `served.rs` serves it.

#[path = "api/city.rs"]
mod city;
#[path = "api/served.rs"]
mod served;

#[path = "api/by_hand.rs"]
mod by_hand;
#[path = "api/caching.rs"]
mod caching;
#[path = "api/content.rs"]
mod content;
#[path = "api/cost.rs"]
mod cost;
#[path = "api/page.rs"]
mod page;
#[path = "api/problems.rs"]
mod problems;
#[path = "api/readiness.rs"]
mod readiness;
#[path = "api/surface.rs"]
mod surface;
