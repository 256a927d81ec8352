//! How fast blobs come out of a source: `read_speed <layout or archive> [streams]`.
//!
//! Reads every layer of the image there, so many at a time, and prints the rate
//! and, on Linux, the most memory the process held.

use std::{path::Path, time::Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_push::source::{self, Selection};

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "a program that measures says what it measured"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which layout or archive?")?;
    let streams = arguments.next().map_or(Ok(1), |it| it.parse())?;
    let opening = Instant::now();
    let source = source::open(Path::new(&path), &Selection::default()).await?;
    println!("opened in {:?}", opening.elapsed());
    let root = source.root().await?;
    let layers = &root.as_manifest().ok_or("an index")?.layers;
    let reading = Instant::now();
    let read = stream::iter(layers)
        .map(|layer| async {
            let pieces = source.open(layer, 0).await?;
            pieces
                .try_fold(0, async |sum, piece| Ok(sum + piece.len() as u64))
                .await
        })
        .buffer_unordered(streams)
        .try_fold(0, async |sum, bytes| Ok(sum + bytes))
        .await?;
    let seconds = reading.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    let rate = read as f64 / seconds / 1e9;
    println!("{read} bytes in {seconds:.3} s: {rate:.2} GB/s with {streams} streams");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|it| it.starts_with("VmHWM"))
        .for_each(|it| println!("{it}"));
    Ok(())
}
