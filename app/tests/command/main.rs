//! The command, run as a user runs it: the real binary against a registry on
//! loopback, and everything that went over the wire compared.

#[cfg(test)]
mod anywhere;
#[cfg(test)]
mod artifact;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod build;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod build_memory;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod exit_codes;
#[cfg(test)]
mod fanout;
#[cfg(test)]
mod floor;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod host_show;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod index;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lint_windows_layer;
#[cfg(test)]
mod login;
#[cfg(test)]
mod longshore;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod mounts;
#[cfg(test)]
#[cfg(unix)]
mod operation;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod promote;
#[cfg(test)]
mod push;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod resident;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod seed;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod serve_files;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod serve_memory;
#[cfg(test)]
mod served;
#[cfg(test)]
mod sink;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod state;
#[cfg(unix)]
#[cfg(test)]
mod state_fails;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod translate_packages;
#[cfg(test)]
mod warnings;
#[cfg(test)]
mod wire;
