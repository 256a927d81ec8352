use std::io::Read;

use oci::Digest;
use proptest::prelude::*;

use super::*;

/// As large as the largest.
const BLOCK: usize = 1024 * 1024;

fn compress(format: CompressionFormat, threads: usize, pieces: &[&[u8]]) -> Vec<u8> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let how = Compression::new(format).with_threads(threads);
    let mut compressor = Compressor::new(how, Vec::new()).unwrap();
    for piece in pieces {
        compressor.write_all(piece).unwrap();
    }
    let done = compressor.finish().unwrap();
    let content = pieces.concat();
    assert_eq!(done.content, Digest::of(&content));
    assert_eq!(done.bytes, content.len() as u64);
    done.out
}

fn decompress(format: CompressionFormat, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        CompressionFormat::None => out.extend_from_slice(bytes),
        CompressionFormat::Gzip => {
            let mut reader = flate2::read::MultiGzDecoder::new(bytes);
            reader.read_to_end(&mut out).unwrap();
        }
        CompressionFormat::Zstd => {
            let mut reader = zstd::stream::read::Decoder::new(bytes).unwrap();
            reader.read_to_end(&mut out).unwrap();
        }
    }
    out
}

/// Text-like bytes that no library makes for us: always the same.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = [
        "layer ", "Files/", "Hives ", "\0\0\0\0", "windows ", "0755 ",
    ];
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        let it = next();
        match it % 4 {
            0 => out.extend_from_slice(&it.to_le_bytes()),
            _ => out.extend_from_slice(words[usize::try_from(it >> 32).unwrap() % 6].as_bytes()),
        }
    }
    out.truncate(length);
    out
}

const FORMATS: [CompressionFormat; 3] = [
    CompressionFormat::None,
    CompressionFormat::Gzip,
    CompressionFormat::Zstd,
];

#[test]
fn e10_the_number_of_threads_and_pieces_changes_no_byte() {
    let content = sample(5 * BLOCK + 12_345);
    for format in FORMATS {
        let one = compress(format, 1, &[&content]);
        assert!(decompress(format, &one) == content);
        let pieces: Vec<_> = content.chunks(100_003).collect();
        for threads in [1, 2, 3, 4, 8, 64] {
            assert!(
                compress(format, threads, &pieces) == one,
                "{format:?} {threads}"
            );
        }
    }
}

/// What the libraries make today. Where one of them is updated and makes something else,
/// layers get other digests, and the changelog has to say so.
#[test]
fn e10_the_bytes_of_a_compressed_layer_are_pinned() {
    let content = sample(2 * BLOCK + 777);
    let digest = |format| Digest::of(&compress(format, 2, &[&content])).to_string();
    assert_eq!(
        FORMATS.map(digest),
        [
            Digest::of(&content).to_string().as_str(),
            "sha256:cf583fba3f6571c4076df2094fefe8e3fd2c03ef93465e58047769c6ad814b98",
            "sha256:a194cc1561640beb47d9a81f6628dc67dc1908f485f0d00ad06c85372e91ca56",
        ]
    );
}

/// What no compressor makes smaller costs next to nothing: a header for each 64 KiB.
#[test]
fn what_is_packed_already_is_stored() {
    let noise = packed::tests::noise(3 * BLOCK + 100_000);
    for format in [CompressionFormat::Gzip, CompressionFormat::Zstd] {
        let one = compress(format, 2, &[&noise]);
        assert!(one.len() < noise.len() + noise.len() / 2000, "{format:?}");
        assert!(decompress(format, &one) == noise);
    }
}

#[test]
fn nothing_is_a_whole_stream_too() {
    for format in FORMATS {
        let empty = compress(format, 2, &[]);
        assert_eq!(empty.is_empty(), format == CompressionFormat::None);
        assert_eq!(decompress(format, &empty), b"");
        // A stream that ends with a block does not end with an empty one.
        let block = sample(BLOCK);
        let one = compress(format, 2, &[&block]);
        assert_eq!(compress(format, 2, &[&block, b""]), one);
        assert!(decompress(format, &one) == block);
    }
}

#[test]
fn a_member_says_no_time_and_no_name() {
    let gzip = compress(CompressionFormat::Gzip, 1, &[b"x"]);
    assert_eq!(
        gzip[..4],
        [0x1f, 0x8b, 8, 0],
        "no flags: no name, no comment"
    );
    assert_eq!(gzip[4..8], [0; 4], "no time");
    assert_eq!(gzip[9], 255, "no system");
}

#[test]
fn where_nothing_can_be_written_the_error_comes_out() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in FORMATS {
        let mut compressor = Compressor::new(Compression::new(format), Full(1000)).unwrap();
        let written = (0..40).try_for_each(|_| compressor.write_all(&sample(BLOCK)));
        let error = written.and_then(|()| compressor.finish().map(|_| ()));
        assert_eq!(
            error.unwrap_err().kind(),
            io::ErrorKind::StorageFull,
            "{format:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out(content in prop::collection::vec(any::<u8>(), 0..5000), repeat in 0usize..600) {
        let content = content.repeat(repeat);
        for format in FORMATS {
            let once = compress(format, 3, &[&content]);
            prop_assert!(decompress(format, &once) == content);
        }
    }
}
