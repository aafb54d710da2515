//! `hangang maintain`: keeps the lake fast while others write to it.

use crate::config::Config;
use crate::{screen, stages};

pub async fn run(config: Config) -> anyhow::Result<()> {
    let lake = stages::open_lake(&config).await?;
    screen::fact("maintain", lake.url());
    lake::maintain(lake, Default::default(), stages::stopped_by_signal()).await;
    Ok(())
}
