//! The last step of a record's life: forecasts, and how good they have been, over REST; and the one page.
//!
//! [`Api::start`] is the door. A request is answered from the current [`edition`]: a background task looks at the lake's
//! versions several times a second, and everything that a route makes is kept until a table that it rests on changes; until
//! then the [`front`] answers, and no route is looked for.
//! The routes, all of one shape, are listed in `routes.rs`. This crate only reads: it never writes to the lake, never
//! trains, never forecasts.

mod api;
mod app;
mod body;
mod edition;
mod feeds;
mod forecast;
mod front;
mod observations;
mod params;
mod places;
mod problem;
mod routes;
mod rows;
mod times;

pub use api::{Api, ApiConfig, ApiError};
pub use app::StatusSource;
pub use routes::openapi;

// One test binary: what users of the crate see is tested beside its own parts.
#[cfg(test)]
#[path = "../tests/api.rs"]
mod tests;
