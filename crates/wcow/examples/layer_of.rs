//! Writes a layer of a directory, and says what it became, as JSON.
//!
//! ```text
//! layer_of windows|linux DIRECTORY FILE none|gzip|zstd THREADS
//! ```
//!
//! For scripts that hand layers to other programs. Files and directories are taken as they
//! are, links that point to a name beside them as links.

#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufWriter, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use longshore_wcow::{
    Compression, CompressionFormat, FileBody, LayerOptions, LayerPath, LayerTree, Meta, OpenFile,
    Origin, write_layer,
};

struct OnDisk {
    path: PathBuf,
    length: u64,
}

impl OpenFile for OnDisk {
    fn len(&self) -> u64 {
        self.length
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [system, directory, out, format, threads] = &*arguments else {
        return Err("windows|linux DIRECTORY FILE none|gzip|zstd THREADS".into());
    };
    let mut tree = match &**system {
        "windows" => LayerTree::windows(),
        "linux" => LayerTree::linux(),
        other => return Err(format!("{other} is no system").into()),
    };
    let format = match &**format {
        "none" => CompressionFormat::None,
        "gzip" => CompressionFormat::Gzip,
        "zstd" => CompressionFormat::Zstd,
        other => return Err(format!("{other} is no compression").into()),
    };
    let threads: NonZeroUsize = threads.parse()?;
    take(&mut tree, Path::new(directory), &LayerPath::root())?;
    let options = LayerOptions {
        compression: Compression::new(format).with_threads(threads),
        ..LayerOptions::default()
    };
    let began = Instant::now();
    let layer = write_layer(&tree, &options, BufWriter::new(File::create(out)?))?;
    println!(
        "{}",
        serde_json::json!({
            "diff_id": layer.diff_id, "digest": layer.digest, "size": layer.size,
            "tar_size": layer.tar_size, "entries": layer.entries,
            "seconds": began.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

/// Takes what is in `directory`, in whatever order the system gives it.
fn take(tree: &mut LayerTree, directory: &Path, at: &LayerPath) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|it| it.to_str());
        let place = at.join(name.ok_or("a name is not UTF-8")?)?;
        let found = fs::symlink_metadata(&path)?;
        let meta = Meta {
            mtime: found.modified().ok(),
            mode: if found.is_dir() { 0o755 } else { 0o644 },
            origin: Origin::new(path.display().to_string()),
            ..Meta::default()
        };
        if found.is_dir() {
            tree.directory(&place, meta)?;
            take(tree, &path, &place)?;
        } else if found.is_symlink() {
            let target = fs::read_link(&path)?;
            let target = target.to_str().ok_or("a link is not UTF-8")?;
            tree.symlink(&place, target, path.is_dir(), meta)?;
        } else {
            let length = found.len();
            tree.file(&place, FileBody::opens(OnDisk { path, length }), meta)?;
        }
    }
    Ok(())
}
