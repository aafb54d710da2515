//! The trainer as its users see it: on real Delta folders, with real LightGBM. One binary, since each links DataFusion.

mod trainer {
    pub mod archive;
    pub mod backtests;
    pub mod city;
    pub mod forecasts;
    pub mod registry;
    pub mod walker;
}
