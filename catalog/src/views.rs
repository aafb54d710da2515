//! The list of the lake's views: `current.*`, what stands now of that of which every state is kept.

use crate::table::TableName;
use crate::view::View;
use crate::{FEEDS, tables};

/// Every view.
pub fn all() -> Vec<View> {
    FEEDS.iter().map(|feed| feed.current()).chain([champions()]).collect()
}

/// `current.champions`: each target's bundle in use. Who that is, is said here alone: trainer, API, status and SQL
/// clients read it from this view.
pub fn champions() -> View {
    let models = tables::models();
    let columns = models.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    // Of one target no two decisions share an instant, and a decision makes one champion at most: age 1 is one row.
    let sql = format!(
        "SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY target ORDER BY decided_at DESC) AS age \
         FROM {} WHERE standing = 'champion') WHERE age = 1",
        models.name
    );
    let comment = "The bundle in use of each target: the one that was made champion last".to_owned();
    View { name: TableName::new("current", "champions"), comment, sql }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_a_name_of_its_own() {
        let views: Vec<TableName> = all().into_iter().map(|view| view.name).collect();
        let tables = tables::all().into_iter().map(|table| table.name);
        let names: std::collections::BTreeSet<TableName> = views.iter().cloned().chain(tables).collect();
        assert_eq!(names.len(), views.len() + tables::all().len());
        assert!(views.iter().all(|name| name.schema == "current"));
    }
}
