//! Writes the sample image: `sample_image <directory> <layers> <bytes a layer>`.

use std::path::Path;

use longshore_push::source::sample::{SampleOptions, write_layout};

#[expect(clippy::print_stdout, reason = "the digest is what it is run for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, layers, layer_bytes] = &arguments[..] else {
        return Err("sample_image <directory> <layers> <bytes a layer>".into());
    };
    let options = SampleOptions {
        layers: layers.parse()?,
        layer_bytes: layer_bytes.parse()?,
        ..SampleOptions::default()
    };
    println!("{}", write_layout(Path::new(directory), &options)?.digest);
    Ok(())
}
