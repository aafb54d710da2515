//! The lake as its users see it: real Delta folders, several processes' worth of writers, and faults at the store's edge.

mod lake {
    mod commits;
    mod faults;
    mod maintenance;
    mod postgres;
    mod replacement;
    mod rows;
    mod speed;
    mod sql;
}
