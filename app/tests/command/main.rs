//! The command, run as a user runs it: the real binary against a registry on
//! loopback, and everything that went over the wire compared.

mod bad_input;
mod cancel;
mod exit_codes;
mod longshore;
mod memory;
mod plan;
mod push;
mod serve;
mod sink;
mod stage;
