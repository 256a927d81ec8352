use super::*;

#[test]
fn names_of_every_day_are_good() {
    for name in [
        "a.exe",
        "README",
        ".gitignore",
        "Program Files",
        "..a",
        "a..b",
        "ünïcode.txt",
        "東京",
        "com",
        "com0",
        "com10",
        "COM1a",
        "lpt",
        "console",
        "null",
        "auxiliary.txt",
        "a.con",
        "$wcidirs$",
        "x.wh.y",
        "%PATH%",
        "a'b&c;d=e+f,g[h]{i}~j",
        "\u{7f}",
        "😀",
    ] {
        assert_eq!(check(name), None, "{name:?}");
    }
    assert_eq!(check(&"x".repeat(255)), None);
    assert_eq!(check(&"ß".repeat(255)), None);
}

#[test]
fn each_fault_is_named() {
    assert_eq!(check(""), Some(NameFault::Empty));
    assert_eq!(check("."), Some(NameFault::Dots));
    assert_eq!(check(".."), Some(NameFault::Dots));
    for it in "<>:\"/\\|?*\0\u{1f}\n".chars() {
        assert_eq!(check(&format!("a{it}b")), Some(NameFault::Invalid(it)));
    }
    for name in [
        "CON",
        "con",
        "Nul.txt",
        "aux.tar.gz",
        "PRN",
        "com1",
        "COM9.log",
        "lpt1",
        "LPT9",
        "com¹",
        "COM².txt",
        "lpt³",
        "con .txt",
    ] {
        assert_eq!(check(name), Some(NameFault::Reserved), "{name:?}");
    }
    for name in ["a.", "a ", "a. ", "...", " "] {
        assert_eq!(check(name), Some(NameFault::Trailing), "{name:?}");
    }
    assert_eq!(check(&"x".repeat(256)), Some(NameFault::TooLong(256)));
    assert_eq!(check(&"😀".repeat(128)), Some(NameFault::TooLong(256)));
    assert_eq!(check("app.$wcidirs$"), Some(NameFault::Sidecar));
    assert_eq!(check("app.$WciDirs$"), Some(NameFault::Sidecar));
    assert_eq!(check(".wh.foo"), Some(NameFault::Whiteout));
    assert_eq!(check(".WH..wh..opq"), Some(NameFault::Whiteout));
}

#[test]
fn only_what_the_importer_accepts_is_not_fatal() {
    let fatal = |name: &str| check(name).map(|it| it.is_fatal());
    assert_eq!(fatal("nul"), Some(false));
    assert_eq!(fatal("a."), Some(false));
    for name in ["", "..", "a:b", "a\\b", ".wh.a", "a.$wcidirs$"] {
        assert_eq!(fatal(name), Some(true), "{name:?}");
    }
    // Both at once: what cannot be is said, not what should not be.
    assert_eq!(fatal(&format!("{}.", "x".repeat(255))), Some(true));
}

#[test]
fn names_that_differ_by_case_alone_are_one() {
    for (a, b) in [
        ("README", "readme"),
        ("straße", "STRAßE"),
        ("Äpfel", "äPFEL"),
        ("дом", "ДОМ"),
        ("ᾀ", "ᾈ"),
        ("ᾳ", "ᾼ"),
        ("ǆ", "Ǆ"),
        ("ÿ", "Ÿ"),
    ] {
        assert_eq!(fold(a), fold(b), "{a} {b}");
    }
    for (a, b) in [
        ("straße", "STRASSE"),
        ("ı", "I"),
        ("ſ", "S"),
        ("ﬁ", "FI"),
        ("é", "e"),
        // The same letter composed and not: NTFS compares units, not meanings.
        ("\u{e9}", "e\u{301}"),
        // Beyond the basic plane nothing folds.
        ("\u{10428}", "\u{10400}"),
    ] {
        assert_ne!(fold(a), fold(b), "{a} {b}");
    }
}

proptest::proptest! {
    /// One unit to one unit, and once is enough: what makes it a key.
    #[test]
    fn folding_keeps_the_length_and_is_done_once(name in "\\PC{0,40}") {
        let folded = fold(&name);
        proptest::prop_assert_eq!(units(&folded), units(&name));
        proptest::prop_assert_eq!(fold(&folded), folded);
    }
}
