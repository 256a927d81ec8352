//! Pushes OCI images into registries, moving only the bytes that must be moved.
//!
//! This is the façade a Rust program starts from: [`Pusher`] puts the image at a path
//! under a reference. What it is made of is re-exported whole: [`oci`] (nouns and the two
//! ports), [`mod@push`] (sources, plan, engine, report) and [`registry`] (the client).
//!
//! ```no_run
//! use longshore::Pusher;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), longshore::Error> {
//!     let pusher = Pusher::new()?;
//!     let report = pusher.push("./image", "127.0.0.1:5000/team/app:1.2").await?;
//!     println!("{} ({} bytes sent)", report.digest, report.bytes.uploaded);
//!     Ok(())
//! }
//! ```
//!
//! The library reads neither environment nor home directory, and prints nothing:
//! credentials and certificates are given to [`registry::Client::builder`], and the
//! client to [`Pusher::with`].
//!
//! # Features
//!
//! `cli`, on by default, is what the `longshore` command needs. A library turns it off:
//! `longshore = { version = "0.1", default-features = false }`.

mod pusher;

pub use oci;
pub use push;
pub use pusher::{Error, Pusher};
pub use registry;
