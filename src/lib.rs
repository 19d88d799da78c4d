//! pcapsy
pub mod app;
pub mod capture;
pub mod dissect;
pub mod time;
