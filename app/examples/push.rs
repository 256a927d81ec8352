//! Pushes an image from Rust: `cargo run --example push -- ./image 127.0.0.1:5000/team/app:1.2`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use longshore::Pusher;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(image), Some(reference)) = (args.next(), args.next()) else {
        return Err("usage: push IMAGE REFERENCE".into());
    };
    let report = Pusher::new()?.push(image, &reference).await?;
    println!("{} ({} bytes sent)", report.digest, report.bytes.uploaded);
    Ok(())
}
