//! Turns a source and a target into a plan, and a plan into a report.

pub mod source;
