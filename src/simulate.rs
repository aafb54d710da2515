//! `hangang simulate`: the upstream and the city's time, alone.

use crate::city::OwnCity;
use crate::config::Config;
use crate::folder::Folder;
use crate::screen;
use crate::stages;

pub async fn run(config: Config) -> anyhow::Result<()> {
    let folder = Folder::hold(&config.data)?;
    folder.belong(&config)?;
    let cancel = stages::stopped_by_signal();
    let own = OwnCity::start(&config, &folder, &cancel).await?;
    screen::fact("city", format!("answers at {}, now {}", own.city.seoul_url, screen::kst(own.city.clock.now())));
    cancel.cancelled().await;
    own.stop().await;
    Ok(())
}
