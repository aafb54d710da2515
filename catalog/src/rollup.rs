//! A rollup: one SQL query over one `observed` table, re-run over exactly the windows that new rows touch.
//!
//! At any moment a rollup equals the same query over the whole of `observed`. Whatever narrows the input (to some
//! windows, or to what was known at an origin) only changes the relation the query reads, never the query.

use chrono::{DateTime, TimeDelta, Utc};

use crate::column::Column;
use crate::feed::Feed;
use crate::kst;
use crate::table::{Table, TableName};

/// A declared aggregate over windows of one feed.
#[derive(Debug)]
pub struct Rollup {
    pub name: &'static str,
    pub comment: &'static str,
    pub feed: &'static Feed,
    /// What names a row: the series, then `observed_at`, the start of the window.
    pub keys: &'static [&'static str],
    pub columns: &'static [Column],
    /// Length of a window, in seconds, on the grid that begins at midnight KST. A row touches the one window that its
    /// `observed_at` lies in: the rollup's reach.
    pub window_seconds: i64,
    /// `SELECT … FROM newest GROUP BY …` where `newest` holds each identity's newest revision, `{keys}` stands for
    /// further leading columns and `{group}` for the same in `GROUP BY`.
    pub select: &'static str,
}

impl Rollup {
    pub fn by_name(name: &str) -> Option<&'static Rollup> {
        crate::ROLLUPS.iter().copied().find(|rollup| rollup.name == name)
    }

    pub fn window(&self) -> TimeDelta {
        TimeDelta::seconds(self.window_seconds)
    }

    /// Start of the window that a row observed at `observed_at` touches.
    pub fn window_of(&self, observed_at: DateTime<Utc>) -> DateTime<Utc> {
        kst::floor(observed_at, self.window())
    }

    /// `rollup.<name>`.
    pub fn table(&self) -> Table {
        Table {
            name: TableName::new("rollup", self.name),
            comment: self.comment,
            columns: self.columns.to_vec(),
            key: self.keys.to_vec(),
            time: "observed_at",
            apart: None,
            replaced: true,
        }
    }

    /// The rollup's query over `source`: a relation with the columns of `observed.<feed>`.
    pub fn sql(&self, source: &str) -> String {
        self.sql_by(source, &[])
    }

    /// The same query with further columns of `source` leading every key, so that one run answers for each of their
    /// values apart: `known_at`, for what was known at several origins.
    pub fn sql_by(&self, source: &str, further: &[&str]) -> String {
        let leading: String = further.iter().map(|column| format!("{column}, ")).collect();
        self.over(&self.feed.newest_sql("*", source, &leading), &leading)
    }

    /// The same query over a source in two parts: `single` holds the identities of which there is one row, which is then
    /// the newest, and `repeated`, where there are any, all others. It gives what [`Rollup::sql`] gives over both
    /// together, without sorting what needs no sorting.
    pub fn sql_over_parts(&self, single: &str, repeated: Option<&str>) -> String {
        let columns = self.feed.columns_sql();
        let mut newest = format!("SELECT {columns} FROM {single}");
        if let Some(repeated) = repeated {
            newest.push_str(&format!(" UNION ALL {}", self.feed.newest_sql(&columns, repeated, "")));
        }
        self.over(&newest, "")
    }

    fn over(&self, newest: &str, leading: &str) -> String {
        let select = self.select.replace("{keys}", leading).replace("{group}", leading);
        format!("WITH newest AS ({newest}) {select}")
    }
}
