//! A proxy that breaks pushes, and what came of each.
//!
//! ```text
//!   plan ──▶ Trial ──▶ client ──▶ Proxy ──▶ registry      one of each for every trial
//!                         │         │          │
//!                      verdict ◀── record ◀── inspect ──▶ Figures
//! ```
//!
//! A [`Trial`](trial::Trial) is one push of one small image through one [`Proxy`](proxy::Proxy)
//! that does something to it: at a request, at a byte, or several things. It ends well in two
//! ways: the image is in the registry, byte for byte; or the push says with a typed error that
//! it is not, within its time, and a second push without faults gets it there. Everything
//! else is a failure, and is shown with the command that repeats it.
//!
//! The client is the library in this process, or the command. The registry is the
//! embedded one, so that what is lost, and what is wrong, is looked up there and not
//! believed.

pub mod elsewhere;
pub mod expect;
pub mod fault;
pub mod figures;
pub mod image;
pub mod inspect;
mod message;
pub mod page;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod run;
pub mod scenario;
pub mod trial;
pub mod trouble;
