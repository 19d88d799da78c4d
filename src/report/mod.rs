//! [`Outcome`](crate::pipeline::Outcome), rows -> report, tables, manifest
//!
//! Nothing here decides anything: findings and incidents are what the stages before said, written down.
//! Only [`manifest`] knows the machine's clock, so that everything else is the same for the same input.

pub mod escape;
pub mod value;
pub mod table;
pub mod counters;
pub mod growth;
pub mod talkers;
pub mod query;
pub mod row_writer;
pub mod sorted;
pub mod frames;
pub mod parquet;
pub mod table_writer;
pub mod capture;
pub mod assessed;
pub mod rank;
pub mod filter;
pub mod list;
pub mod announced;
pub mod labels;
pub mod model;
pub mod json;
pub mod page;
pub mod text;
pub mod screen;
pub mod rca;
pub mod course;
pub mod trace;
pub mod html;
pub mod place;
pub mod folder;
pub mod evidence;
pub mod files;
pub mod memory;
pub mod manifest;
pub mod stored;
pub mod said;

#[cfg(test)]
pub(crate) mod tests;
