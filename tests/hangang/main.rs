//! The whole, as its users meet it: the shipped binary, real servers, and readers that share no code with it. One
//! binary, since each links all of Hangang.

mod chaos;
mod damage;
mod house;
mod life_of_a_record;
mod mistakes;
mod stages;
mod support;
mod tls;
mod up;
