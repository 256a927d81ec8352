//! Layers that mean harm, or are broken.

use std::io::Write as _;

use super::*;

fn only(tar: Tar) -> Image {
    Image::of(Linux, &[tar])
}

#[test]
fn names_that_leave_the_image_are_refused_whatever_is_copied() {
    for (tar, expected) in [
        (Tar::new().file("../x", ""), "leads out of the image"),
        (Tar::new().file("a/../../x", ""), "leads out of the image"),
        (Tar::new().file("/etc/x", ""), "its name is absolute"),
        (Tar::new().file(".wh...", ""), "leads out of the image"),
        (Tar::new().file(&"n".repeat(300), ""), "longer or deeper"),
        (Tar::new().file(&"d/".repeat(300), ""), "longer or deeper"),
        (
            Tar::new().hard("ok", "../x").files(&["y"]),
            "leads out of the image",
        ),
    ] {
        let fault = only(tar.files(&["ok"])).fault("/ok");
        assert!(fault.contains(expected), "{fault}");
        assert!(fault.starts_with("layer sha256:"), "{fault}");
    }
}

#[test]
fn what_is_packed_has_to_be_what_the_config_says() {
    let tar = Tar::new().files(&["f"]).bytes();
    let said = Digest::of(b"another");
    let mut image = Image::with(Linux, vec![(said.clone(), gzip(&tar))]);
    let fault = image.fault("/f");
    let actual = Digest::of(&tar);
    assert!(
        fault.contains(&format!("has digest {actual}, and the config says {said}")),
        "{fault}"
    );
    // What follows the end counts.
    let longer = [&tar[..], b"more"].concat();
    let mut image = Image::with(Linux, vec![(Digest::of(&longer), gzip(&longer))]);
    assert_eq!(image.list("/f"), ["f=f"]);
}

#[test]
fn a_layer_that_breaks_off_or_is_no_tar_is_damaged() {
    let tar = Tar::new().file("f", &"x".repeat(2000)).bytes();
    let cut = tar[..1000].to_vec();
    let half = gzip(&tar)[..30].to_vec();
    for (diff_id, blob) in [
        (Digest::of(&cut), cut),
        (Digest::of(&tar), half),
        (Digest::of(b"x"), vec![b'x'; 700]),
    ] {
        let fault = Image::with(Linux, vec![(diff_id, blob)]).fault("/f");
        assert!(fault.contains("it is damaged"), "{fault}");
    }
    let packed = b"BZh91AY&SY".to_vec();
    let fault = Image::with(Linux, vec![(Digest::of(b""), packed)]).fault("/f");
    assert!(fault.contains("neither a plain tar nor"), "{fault}");
}

#[test]
fn a_window_of_more_than_32_mib_is_not_granted() {
    let tar = Tar::new().files(&["f"]).bytes();
    let packed = |log| {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar).unwrap();
        Image::with(Linux, vec![(Digest::of(&tar), encoder.finish().unwrap())])
    };
    assert_eq!(packed(25).list("/f"), ["f=f"]);
    let fault = packed(26).fault("/f");
    assert!(fault.contains("a window of more than 32 MiB"), "{fault}");
}

#[test]
fn so_much_out_of_so_little_is_refused() {
    // Zeroes in zstd: a thousandth of a thousandth.
    let zeroes = vec![0; 300 << 20];
    let tar = Tar::new().entry("f", b'0', &zeroes, "", &[]).bytes();
    drop(zeroes);
    let diff_id = Digest::of(&tar);
    let fault = Image::with(Linux, vec![(diff_id, zstd(&tar))]).fault("/other");
    assert!(fault.contains("more than 2000 times its size"), "{fault}");
}

#[test]
fn what_can_be_no_file_is_refused_where_it_is_copied_and_nowhere_else() {
    let odd = Tar::new()
        .dirs(&["dev"])
        .entry("dev/null", b'3', b"", "", &[])
        .entry("sparse", b'0', b"", "", &[("GNU.sparse.major", b"1")])
        .files(&["ok"]);
    let mut image = only(odd);
    assert_eq!(image.list("/ok"), ["ok=ok"]);
    let tree = image.look(&["/dev"]).unwrap();
    let dev = tree.find("dev").unwrap().unwrap();
    let error = tree.children(&dev).unwrap().find_map(Result::err).unwrap();
    assert!(
        error
            .to_string()
            .contains("is a pipe, a socket or a device"),
        "{error}"
    );
    let fault = image.fault("/sparse");
    assert!(fault.contains("sparse file"), "{fault}");
    // GNU's older form cannot even be passed over.
    let fault = only(Tar::new().entry("s", b'S', b"", "", &[]).files(&["ok"])).fault("/ok");
    assert!(fault.contains("sparse file"), "{fault}");
}

#[test]
fn records_without_bounds_and_links_in_circles_end() {
    let mut header = Tar::new().entry("x", b'x', b"", "", &[]).bytes();
    header.truncate(512);
    header[124..136].copy_from_slice(b"77777777777\0");
    let block: [u8; 512] = header[..].try_into().unwrap();
    let sum = crate::header::checksum(&block);
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let fault = only(Tar::new().raw(&header)).fault("/f");
    assert!(fault.contains("it is damaged"), "{fault}");
    let circle = Tar::new().hard("a", "b").hard("b", "a");
    let fault = only(circle).fault("/a");
    assert!(fault.contains("which is no file"), "{fault}");
    let more = Tar::new().dirs(&["d"]).link("d/a", "../d").link("d/b", ".");
    assert_eq!(
        only(more).list("/d/a/b/a/b/a"),
        ["d/", "d/a->../d", "d/b->."]
    );
}

#[test]
fn a_directory_nobody_listed_over_a_link_is_refused() {
    let bottom = Tar::new().dirs(&["usr", "usr/lib"]).link("lib", "usr/lib");
    let top = Tar::new().files(&["lib/x"]);
    let fault = Image::of(Linux, &[bottom, top]).fault("/lib/x");
    assert!(fault.contains("it cannot be told where they go"), "{fault}");
}

#[test]
fn a_layer_for_windows_hides_nothing_in_the_way_of_linux() {
    let tar = Tar::new()
        .dirs(&["Files", "Files/d"])
        .file("Files/d/.wh..wh..opq", "");
    let fault = Image::of(Windows, &[tar]).fault("/d");
    assert!(fault.contains("Windows does not know"), "{fault}");
}
