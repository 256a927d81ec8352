//! The machine as a table, and against registries that are made up.

use std::num::NonZeroU64;

use super::*;

mod properties;
mod table;
