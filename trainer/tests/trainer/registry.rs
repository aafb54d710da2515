//! The registry: a champion always exists, only a better one replaces it, and decisions don't pass each other unseen.

use crate::{Registry, Standing, ensure_champion, fit_naive};
use arrow::array::AsArray;
use forecaster::Bundle;

use super::city::{CITY, City, day, rows};
use crate::{Panel, Recipe};

async fn panel(city: &City, days: i64) -> Panel {
    Panel::load(&city.lake, CITY, day(0), day(days)).await.unwrap()
}

#[tokio::test]
async fn the_best_naive_rule_is_the_first_champion() {
    let city = City::of(&rows(1, 3, 40)).await;
    let history = panel(&city, 40).await.shared_history();
    let bundle =
        ensure_champion(&city.lake, CITY, &history, day(40), day(40), None).await.unwrap().expect("there is history enough");
    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    let champion = registry.champion().unwrap();
    assert_eq!((champion.bundle.as_str(), champion.kind.as_str()), (bundle.id(), bundle.kind()));
    assert!(["last", "day", "week", "week_mean"].contains(&bundle.kind()));
    assert_eq!(registry.load(champion).await.unwrap().to_bytes(), bundle.to_bytes());
    // Asked again, it is the same one.
    let again = ensure_champion(&city.lake, CITY, &history, day(41), day(41), None).await.unwrap().unwrap();
    assert_eq!(again.id(), bundle.id());
    assert_eq!(Registry::read(&city.lake, CITY).await.unwrap().entries().len(), 1);
}

#[tokio::test]
async fn without_any_history_there_is_no_champion_yet() {
    let city = City::empty().await;
    let history = panel(&city, 5).await.shared_history();
    assert!(ensure_champion(&city.lake, CITY, &history, day(5), day(5), None).await.unwrap().is_none());
}

async fn bundles(city: &City) -> [Bundle; 3] {
    let panel = panel(city, 40).await;
    [30, 35, 40].map(|days| fit_naive(panel.history(), CITY, day(days), &Recipe::default()).unwrap())
}

#[tokio::test]
async fn a_new_champion_retires_the_one_before_and_a_refused_one_changes_nothing() {
    let city = City::of(&rows(1, 3, 40)).await;
    let [first, second, third] = bundles(&city).await;
    let mut registry = Registry::read(&city.lake, CITY).await.unwrap();
    assert!(registry.champion().is_none());
    assert!(registry.register(&first, Standing::Champion, "the first", "{}", day(30)).await.unwrap());
    assert!(registry.register(&second, Standing::Refused, "worse", "{}", day(35)).await.unwrap());
    assert_eq!(registry.champion().unwrap().bundle, first.id());
    assert!(registry.register(&third, Standing::Champion, "better", "{}", day(40)).await.unwrap());

    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    let standing = |bundle: &Bundle| registry.state(bundle.id()).unwrap().standing.as_str();
    assert_eq!([standing(&first), standing(&second), standing(&third)], ["retired", "refused", "champion"]);
    assert_eq!(registry.champion().unwrap().bundle, third.id());
    assert!(registry.state(first.id()).unwrap().reason.contains(third.id()), "it says by whom it was replaced");
}

#[tokio::test]
async fn of_two_that_decide_at_once_one_is_told_to_look_again() {
    let city = City::of(&rows(1, 3, 40)).await;
    let [first, second, _] = bundles(&city).await;
    let mut one = Registry::read(&city.lake, CITY).await.unwrap();
    let mut other = Registry::read(&city.lake, CITY).await.unwrap();
    assert!(one.register(&first, Standing::Champion, "the first", "{}", day(30)).await.unwrap());
    assert!(!other.register(&second, Standing::Champion, "the first, too", "{}", day(30)).await.unwrap());
    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    assert_eq!(registry.champion().unwrap().bundle, first.id());
    assert_eq!(registry.entries().len(), 1);
}

/// Who is champion as SQL clients see it.
async fn champion_by_sql(city: &City) -> String {
    let batches = city.lake.query("SELECT bundle FROM current.champions WHERE target = 'traffic_volume'").await.unwrap();
    let bundles: Vec<String> = batches
        .iter()
        .flat_map(|batch| {
            let bundles = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
            bundles.as_string::<i32>().iter().map(|bundle| bundle.unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(bundles.len(), 1, "one champion: {bundles:?}");
    bundles[0].clone()
}

#[tokio::test]
async fn of_two_decisions_at_one_instant_the_later_one_holds_for_every_reader() {
    let city = City::of(&rows(1, 3, 40)).await;
    let bundles = bundles(&city).await;
    // Whatever the order of their names, and though the city's clock stands, or stood elsewhere.
    let mut registry = Registry::read(&city.lake, CITY).await.unwrap();
    let order = [&bundles[1], &bundles[2], &bundles[0]];
    for (bundle, now) in order.into_iter().zip([day(40), day(40), day(39)]) {
        assert!(registry.register(bundle, Standing::Champion, "better", "{}", now).await.unwrap());
        let anew = Registry::read(&city.lake, CITY).await.unwrap();
        assert_eq!(registry.champion().unwrap().bundle, bundle.id(), "who decided");
        assert_eq!(anew.champion().unwrap().bundle, bundle.id(), "who reads the registry anew");
        assert_eq!(champion_by_sql(&city).await, bundle.id(), "who asks in SQL");
        assert_eq!(anew.state(bundle.id()).unwrap().standing, "champion");
    }
    let anew = Registry::read(&city.lake, CITY).await.unwrap();
    assert_eq!(anew.entries().len(), 5, "three came, two went");
    let standings = order.map(|bundle| anew.state(bundle.id()).unwrap().standing.clone());
    assert_eq!(standings, ["retired", "retired", "champion"]);
    let times: Vec<_> =
        order.map(|bundle| anew.entries().iter().find(|entry| entry.bundle == bundle.id()).unwrap().decided_at).into();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test]
async fn the_champions_file_and_those_of_the_last_ten_are_kept() {
    let city = City::of(&rows(1, 3, 40)).await;
    let panel = panel(&city, 40).await;
    let mut registry = Registry::read(&city.lake, CITY).await.unwrap();
    let mut registered = Vec::new();
    for hours in 0..14 {
        let known_at = day(30) + chrono::TimeDelta::hours(hours);
        let bundle = fit_naive(panel.history(), CITY, known_at, &Recipe::default()).unwrap();
        // The second of them stays champion, and its file with it.
        let standing = if hours < 2 { Standing::Champion } else { Standing::Refused };
        assert!(registry.register(&bundle, standing, "", "{}", known_at).await.unwrap());
        registered.push(bundle.id().to_owned());
    }
    let registry = Registry::read(&city.lake, CITY).await.unwrap();
    assert_eq!(registry.champion().unwrap().bundle, registered[1]);
    let mut kept: Vec<usize> = Vec::new();
    for (number, bundle) in registered.iter().enumerate() {
        if registry.load(registry.state(bundle).unwrap()).await.is_ok() {
            kept.push(number);
        }
    }
    assert_eq!(kept, [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(city.lake.list("models").await.unwrap().len(), 11);
}
