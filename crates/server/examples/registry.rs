//! Runs the registry until its standard input ends.
//!
//! ```text
//! cargo run -p longshore-server --example registry -- [--sparse] [DIRECTORY]
//! ```
//!
//! Without a directory it keeps everything in memory; with `--sparse` it takes manifests whose
//! children are missing. The first line written is its address.

use std::{
    error::Error,
    io::{Read as _, Write as _},
};

use longshore_server::{Server, Validation};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Server::builder();
    for argument in std::env::args_os().skip(1) {
        builder = match argument.to_str() {
            Some("--sparse") => builder.validation(Validation::AcceptAll),
            _ => builder.directory(argument),
        };
    }
    let server = builder.start().await?;
    writeln!(std::io::stdout(), "{}", server.addr())?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.shutdown().await;
    Ok(())
}
