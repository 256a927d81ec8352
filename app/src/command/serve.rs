//! `serve`: the embedded registry.

use std::{io::Write as _, net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use clap::Args;
use server::Server;

use crate::{error::AppError, interrupt};

mod access;
mod certificate;
mod faults;
mod operation;
mod reload;
mod service_manager;
mod source;
mod storage;
mod validation;

/// How many requests a registry that people run remembers: its log is for tests.
const LOG_ENTRIES: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// The most threads that requests are handled on: each keeps memory of its own.
const WORKERS: usize = 8;
/// The most threads that wait for a disk at once.
const WAITING: usize = 32;

/// Bounds the threads of a registry, and so what their allocators keep.
pub(crate) fn bound_threads(runtime: &mut tokio::runtime::Builder) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    runtime
        .worker_threads(cores.min(WORKERS))
        .max_blocking_threads(WAITING);
}

/// Run the embedded registry
///
/// Speaks the OCI distribution protocol on the address given, until Ctrl-C. Refuses a
/// manifest whose blobs are not there, naming each.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    source: source::SourceArgs,

    /// Keep everything in this directory; without it, in memory until the end
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000", value_parser = address)]
    listen: SocketAddr,

    /// Print the address as the only line on standard output
    #[arg(long)]
    print_address: bool,

    #[command(flatten)]
    storage: storage::StorageArgs,

    #[command(flatten)]
    validation: validation::ValidationArgs,

    #[command(flatten)]
    faults: faults::FaultsArgs,

    #[command(flatten)]
    access: access::AccessArgs,

    #[command(flatten)]
    operation: operation::OperationArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Examples:
  longshore serve                                 # in memory, on 127.0.0.1:5000
  longshore serve --store ./store                 # kept in a directory
  longshore serve app=./image.tar                 # a file as a registry, to pull from
  longshore serve --htpasswd users --tls-self-signed --listen 0.0.0.0:5000";

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an address and a port, as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000".to_owned()
    })
}

pub(crate) async fn serve(args: &ServeArgs) -> Result<(), AppError> {
    let faults = args.faults.read()?;
    if let (true, Some(file)) = (args.faults.only_checks(), &faults) {
        return faults::show(file);
    }
    let images = source::open(&args.source).await?;
    let tags: Vec<String> = images.iter().flat_map(source::tags).collect();
    let builder = match (images, &args.store) {
        (Some(images), _) => Server::builder().read_only(images),
        (None, Some(directory)) => Server::builder().directory(directory),
        (None, None) => Server::builder().memory(),
    };
    let builder = args.storage.apply(builder);
    if let Some(store) = args.storage.only_collects(args.store.as_deref())? {
        return args.storage.collect(builder, store).await;
    }
    let builder = args.validation.apply(builder).listen(args.listen);
    let (builder, access) = args.access.apply(builder)?;
    let reload = reload::Reload::of(&args.access)?;
    let (builder, operation) = args.operation.apply(builder, args.print_address)?;
    let builder = match &faults {
        Some(file) => faults::apply(file, builder),
        None => builder,
    };
    let running = builder
        .log_entries(LOG_ENTRIES)
        .keep_headers(false)
        .start()
        .await
        .map_err(AppError::Serve)?;
    let address = running.addr();
    let place = match (args.source.places(), &args.store) {
        (Some(places), _) => format!("{places}, read-only,"),
        (None, Some(directory)) => directory.display().to_string(),
        (None, None) => "memory".to_owned(),
    };
    interrupt::say(&format!(
        "serving {place} at {}; Ctrl-C ends it",
        running.url()
    ));
    access.tell(address.port());
    for tag in tags {
        interrupt::say(&format!("  {address}/{tag}"));
    }
    // Last, so that who waits for it finds everything else said.
    if args.print_address {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{address}")
            .and_then(|()| stdout.flush())
            .map_err(AppError::Output)?;
    }
    operation.run(running, reload).await;
    Ok(())
}
