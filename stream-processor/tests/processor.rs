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

use crate::{ImportOptions, Processor, ProcessorConfig, accept_loss, import, new_generation};

/// Whoever runs these may do it on any thread of a runtime.
#[allow(dead_code)]
fn what_is_awaited_can_be_spawned(processor: &'static Processor, lake: &'static lake::Lake, config: &'static ProcessorConfig) {
    fn spawned(_: impl Send) {}
    let options = ImportOptions { received_until: None, now: chrono::Utc::now() };
    spawned(processor.settled());
    spawned(import(lake, &[], options, &|_, _| {}));
    spawned(new_generation(lake, config, ""));
    spawned(accept_loss(lake, config, ""));
}
