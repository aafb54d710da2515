//! The stage as its users see it, on real Delta folders: any arrival gives one answer, an import changes only what it
//! says anew, and a broker's records land once.

#[path = "processor/arrival.rs"]
mod arrival;
#[path = "processor/flow.rs"]
mod flow;
#[path = "processor/importing.rs"]
mod importing;
#[path = "processor/lakes.rs"]
mod lakes;
