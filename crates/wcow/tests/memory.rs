//! What writing a layer takes of memory, measured in a process that does nothing else.
//!
//! One test, so that no other one runs beside it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{
    fs, io,
    io::{Read, Write},
    num::NonZeroUsize,
};

use longshore_wcow::{
    Compression, CompressionFormat, FileBody, LayerOptions, LayerTree, Meta, OpenFile, write_layer,
};

/// A file of text-like bytes that is nowhere but here.
struct Made {
    length: u64,
}

/// What is left of one, and what comes next in it.
struct Making {
    left: u64,
    state: u64,
}

impl OpenFile for Made {
    fn len(&self) -> u64 {
        self.length
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Making {
            left: self.length,
            state: 1 + self.length,
        }))
    }
}

impl Read for Making {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left).map_or(buffer.len(), |it| it.min(buffer.len()));
        for chunk in buffer[..count].chunks_mut(64) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            chunk.fill(b' ');
            let random = self.state.to_le_bytes();
            let length = chunk.len().min(8);
            chunk[..length].copy_from_slice(&random[..length]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Counts, and keeps nothing.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Ten thousand files and one of a gigabyte, by as many threads as there may be: with gzip and
/// with zstd, and never over 64 MiB.
#[test]
fn b13_a_layer_of_more_than_a_gigabyte_is_streamed() {
    let mut tree = LayerTree::windows();
    for number in 0..10_000 {
        let path = format!("app/directory-{:03}/file-{number:05}.dll", number % 100);
        let length = 4_000 + number % 97;
        let body = FileBody::opens(Made { length });
        tree.file(&path.parse().unwrap(), body, Meta::default())
            .unwrap();
    }
    let large = FileBody::opens(Made { length: 1 << 30 });
    tree.file(&"app/large.bin".parse().unwrap(), large, Meta::default())
        .unwrap();
    for format in [CompressionFormat::Gzip, CompressionFormat::Zstd] {
        let threads = NonZeroUsize::new(64).unwrap();
        let options = LayerOptions {
            compression: Compression::new(format).with_threads(threads),
            ..LayerOptions::default()
        };
        let mut out = Counted(0);
        let layer = write_layer(&tree, &options, &mut out).unwrap();
        assert_eq!(layer.entries, 10_000 + 100 + 1 + 1 + 2);
        assert!(layer.tar_size > (1 << 30) + 40_000_000);
        assert_eq!(layer.size, out.0);
        let peak = peak_kib();
        println!("{format:?}: {} bytes, {peak} KiB", layer.size);
        assert!(peak <= 64 * 1024, "{format:?}: {peak} KiB");
    }
}
