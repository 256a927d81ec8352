//! Runs the registry until its standard input ends.
//!
//! ```text
//! cargo run -p longshore-server --example registry -- [DIRECTORY]
//! ```
//!
//! Without a directory it keeps everything in memory. The first line printed is its address.

use std::{error::Error, io::Read as _};

use longshore_server::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = match std::env::args_os().nth(1) {
        Some(directory) => Server::builder().directory(directory),
        None => Server::builder().memory(),
    };
    let server = builder.start().await?;
    println!("{}", server.addr());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.shutdown().await;
    Ok(())
}
