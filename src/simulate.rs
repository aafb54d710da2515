//! `hangang simulate`: the upstream and the city's time, alone.

use anyhow::bail;

use crate::city::OwnCity;
use crate::config::{Config, Source, Speed};
use crate::folder::Folder;
use crate::ports::{self, Server};
use crate::{screen, stages};

pub async fn run(config: Config) -> anyhow::Result<()> {
    if config.city.speed == Speed::Stepped {
        bail!(
            "a stepped city's time advances when all due work has landed, which only `hangang up` can see; \
             give a speed, as --speed 600"
        );
    }
    if config.city.source == Source::Real {
        screen::fact("city", "Seoul answers for itself: nothing is simulated");
        stages::stopped_by_signal().cancelled().await;
        return Ok(());
    }
    let mut folder = Folder::hold(&config.data)?;
    folder.accept(&config)?;
    ports::free(&config, &[Server::Simulator])?;
    let cancel = stages::stopped_by_signal();
    let own = OwnCity::start(&config, &folder, &cancel).await?;
    folder.belong(&config)?;
    screen::fact("city", format!("answers at {}, now {}", own.city.seoul_url, screen::kst(own.city.clock.now())));
    cancel.cancelled().await;
    own.stop().await;
    Ok(())
}
