//! pcapsy
pub mod config;
pub mod time;

pub mod capture;
pub mod dissect;
pub mod app;
pub mod flow;
pub mod detect;
pub mod pipeline;
pub mod local;
pub mod report;
pub mod cli;
