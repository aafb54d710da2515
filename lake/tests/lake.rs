//! The lake as its users see it: real Delta folders, several processes' worth of writers, and faults at the store's edge.

mod lake {
    mod commits;
    mod damage;
    mod faults;
    mod maintenance;
    mod others;
    mod postgres;
    mod readers;
    mod replacement;
    mod rows;
    mod speed;
    mod sql;
}
