//! The layers that show what an importer does, each by its name.

use super::*;

#[track_caller]
fn accepted(entries: &[Entry]) {
    let report = lint(entries);
    assert_eq!(errors(&report), []);
    assert!(report.is_accepted());
    assert_eq!(report.entries(), entries.len() as u64);
}

#[track_caller]
fn refused(entries: &[Entry], expected: &[(u64, &'static str)]) {
    let report = lint(entries);
    assert_eq!(errors(&report), expected);
    assert!(!report.is_accepted());
}

#[test]
fn b13_plain_ok() {
    let entries = [d("Files"), d("Files/app"), f("Files/app/a.exe"), d("Hives")];
    accepted(&entries);
    let report = lint(&entries);
    assert_eq!(
        warnings(&report),
        ["no-attributes", "no-creation-time", "no-security"]
    );
    let texts: Vec<_> = report.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "4 entries have no file attributes",
            "4 entries have no time of creation",
            "2 entries have no security descriptor: who may do what is left to Windows",
        ]
    );
}

#[test]
fn b13_slash_ok() {
    accepted(&[
        d("Files/"),
        d("Files/app/"),
        f("Files/app/a.exe"),
        d("Hives/"),
    ]);
}

/// The importer accepts it, and nobody should write it.
#[test]
fn b13_dotslash() {
    refused(
        &[
            d("./Files"),
            d("./Files/app"),
            f("./Files/app/a.exe"),
            d("./Hives"),
        ],
        &[
            (1, "dots"),
            (2, "dots"),
            (3, "dots"),
            (4, "dots"),
            (0, "no-files"),
            (0, "no-hives"),
        ],
    );
}

#[test]
fn b13_hardlink_ok() {
    accepted(&[
        d("Files"),
        f("Files/a"),
        l("Files/b", "Files/a"),
        d("Hives"),
    ]);
}

#[test]
fn b13_wh_ok() {
    accepted(&[d("Files"), f("Files/.wh.foo").body(b""), d("Hives")]);
}

/// Nothing is made for a whiteout, so what it is in may be in a layer below only.
#[test]
fn a_whiteout_needs_no_directory() {
    accepted(&[d("Files"), f("Files/Windows/.wh.foo").body(b""), d("Hives")]);
}

#[test]
fn b13_of_the_golden_layers_nothing_is_to_be_said() {
    for tar in [
        include_bytes!("../../../tests/vectors/golden1.tar").as_slice(),
        include_bytes!("../../../tests/vectors/golden2.tar"),
    ] {
        let report = lint_with(tar, LintOptions::default().with_latest(MTIME));
        assert_eq!((report.errors(), report.warnings()), (&[][..], &[][..]));
        let early = LintOptions::default().with_latest(MTIME - 1);
        let late = lint_with(tar, early).errors().len() as u64;
        assert_eq!(late, 4 * report.entries(), "four times each");
    }
}

#[test]
fn b13_sym_file_ok() {
    accepted(&[d("Files"), s("Files/l", "a.exe"), d("Hives")]);
}

#[test]
fn b13_sym_dir_ok() {
    let link = s("Files/l", r"C:\app").with("MSWINDOWS.fileattr", "1040");
    accepted(&[d("Files"), link, d("Hives")]);
}

#[test]
fn b13_n_noparent() {
    refused(
        &[d("Files"), f("Files/app/a.exe"), d("Hives")],
        &[(2, "missing-parent")],
    );
}

#[test]
fn b13_n_nofiles() {
    refused(
        &[d("app"), f("app/a.exe")],
        &[
            (1, "not-under-files"),
            (2, "not-under-files"),
            (0, "no-files"),
            (0, "no-hives"),
        ],
    );
}

#[test]
fn b13_n_dupdir() {
    refused(
        &[d("Files"), d("Files/app"), d("Files/app"), d("Hives")],
        &[(3, "duplicate")],
    );
}

#[test]
fn b13_n_casefile() {
    refused(
        &[d("Files"), f("Files/README"), f("Files/readme"), d("Hives")],
        &[(3, "case-collision")],
    );
}

#[test]
fn b13_n_casedir() {
    refused(
        &[d("Files"), d("Files/App"), d("Files/app"), d("Hives")],
        &[(3, "case-collision")],
    );
}

#[test]
fn b13_n_colon() {
    refused(
        &[d("Files"), f("Files/a:b"), d("Hives")],
        &[(2, "invalid-character")],
    );
}

/// An alternate stream, which the importer makes without a word.
#[test]
fn b13_n_ads_silent() {
    refused(
        &[
            d("Files"),
            f("Files/a").body(b"main"),
            f("Files/a:b").body(b"ads"),
            d("Hives"),
        ],
        &[(3, "invalid-character")],
    );
}

#[test]
fn b13_n_star() {
    refused(
        &[d("Files"), f("Files/a*b"), d("Hives")],
        &[(2, "invalid-character")],
    );
}

#[test]
fn b13_n_question() {
    refused(
        &[d("Files"), f("Files/a?b"), d("Hives")],
        &[(2, "invalid-character")],
    );
}

#[test]
fn b13_n_con() {
    let entries = [d("Files"), f("Files/CON"), f("Files/nul.txt"), d("Hives")];
    refused(&entries, &[(2, "reserved-name"), (3, "reserved-name")]);
    let options = LintOptions::default().with_names(NameRules::Warn);
    let report = lint_with(&tar(&entries), options);
    assert!(report.is_accepted());
    assert_eq!(warnings(&report)[..2], ["reserved-name"; 2]);
}

#[test]
fn b13_n_trail() {
    refused(
        &[d("Files"), f("Files/a."), f("Files/b "), d("Hives")],
        &[(2, "trailing-dot-or-space"), (3, "trailing-dot-or-space")],
    );
}

#[test]
fn b13_n_backslash() {
    refused(
        &[d("Files"), f(r"Files/a\b"), d("Hives")],
        &[(2, "invalid-character")],
    );
}

#[test]
fn b13_n_hardlink_noprefix() {
    refused(
        &[d("Files"), f("Files/a"), l("Files/b", "a"), d("Hives")],
        &[(3, "link-outside-files")],
    );
}

#[test]
fn b13_n_hardlink_before() {
    refused(
        &[
            d("Files"),
            l("Files/b", "Files/a"),
            f("Files/a"),
            d("Hives"),
        ],
        &[(2, "link-before-target")],
    );
}

#[test]
fn b13_n_wh_opq() {
    let opaque = f("Files/d/.wh..wh..opq").body(b"");
    refused(
        &[d("Files"), d("Files/d"), opaque, d("Hives")],
        &[(3, "opaque-whiteout")],
    );
}

#[test]
fn b13_n_wh_root() {
    refused(
        &[f(".wh.foo").body(b"")],
        &[
            (1, "whiteout-outside-files"),
            (0, "no-files"),
            (0, "no-hives"),
        ],
    );
}

#[test]
fn b13_n_traverse() {
    refused(
        &[d("Files"), d("Files/../Hives"), f("Files/../evil")],
        &[(2, "dots"), (3, "dots"), (0, "no-hives")],
    );
}

#[test]
fn b13_n_abs() {
    refused(
        &[d("/Files")],
        &[(1, "absolute"), (0, "no-files"), (0, "no-hives")],
    );
}

#[test]
fn b13_n_dir_after_child() {
    refused(
        &[d("Files"), f("Files/app/a"), d("Files/app"), d("Hives")],
        &[(2, "child-before-directory")],
    );
}

#[test]
fn b13_n_utilvm() {
    refused(
        &[f("UtilityVM/Files/x")],
        &[(1, "no-utility-vm"), (0, "no-files"), (0, "no-hives")],
    );
}

// === what the named ones leave open ===

#[test]
fn the_two_directories_are_directories_and_spelled_as_they_are() {
    refused(&[d("Files")], &[(0, "no-hives")]);
    refused(
        &[f("Files"), d("Hives")],
        &[(1, "root-no-directory"), (0, "no-files")],
    );
    refused(
        &[d("files"), d("Hives")],
        &[(1, "not-under-files"), (0, "no-files")],
    );
    refused(&[d("Files"), d("Hives"), d("Files")], &[(3, "duplicate")]);
}

#[test]
fn a_utility_vm_has_its_directory_and_its_files() {
    let vm = [d("UtilityVM"), d("UtilityVM/Files"), f("UtilityVM/Files/x")];
    let all = [&[d("Files"), d("Hives")], &vm[..]].concat();
    accepted(&all);
    refused(
        &[d("Files"), d("Hives"), d("UtilityVM"), d("UtilityVM/Other")],
        &[(4, "not-under-files")],
    );
}

#[test]
fn what_is_in_a_directory_is_in_a_directory() {
    refused(
        &[d("Files"), f("Files/a"), f("Files/a/b"), d("Hives")],
        &[(3, "parent-no-directory")],
    );
    refused(
        &[d("Files"), f("Files/a"), d("Files/A"), d("Hives")],
        &[(3, "kind-conflict")],
    );
    // Windows does not mind the spelling of a parent.
    accepted(&[d("Files"), d("Files/App"), f("Files/app/b"), d("Hives")]);
    // Each missing directory is said once, with who missed it first.
    refused(
        &[
            d("Files"),
            f("Files/x/a"),
            f("Files/x/b"),
            f("Files/y/a"),
            d("Hives"),
        ],
        &[(2, "missing-parent"), (4, "missing-parent")],
    );
}

#[test]
fn links_say_where_they_point() {
    refused(
        &[d("Files"), s("Files/l", ""), d("Hives")],
        &[(2, "link-target")],
    );
    refused(
        &[d("Files"), l("Files/b", "Files/../a"), d("Hives")],
        &[(2, "link-outside-files")],
    );
    refused(
        &[
            d("Files"),
            d("Hives"),
            f("Hives/a"),
            l("Hives/b", "Hives/a"),
        ],
        &[(4, "link-outside-files")],
    );
    let elsewhere = lint(&[d("Files"), l("Files/b", "Files/base.dll"), d("Hives")]);
    assert!(elsewhere.is_accepted(), "a layer below may have it");
    assert!(warnings(&elsewhere).contains(&"link-target-elsewhere"));
}

#[test]
fn attributes_agree_with_what_an_entry_is() {
    let with = |entry: Entry, value| {
        let entry = entry.with("MSWINDOWS.fileattr", value);
        errors(&lint(&[d("Files"), entry, d("Hives")]))
    };
    for (good, value) in [
        (d("Files/d"), "16"),
        (d("Files/d"), "17"),
        (f("Files/f"), "32"),
        (f("Files/f"), "128"),
        (s("Files/l", "x"), "1056"),
        (s("Files/l", "x"), "1040"),
    ] {
        assert_eq!(with(good, value), []);
    }
    assert_eq!(with(d("Files/d"), "32"), [(2, "directory-bit")]);
    assert_eq!(with(f("Files/f"), "16"), [(2, "directory-bit")]);
    assert_eq!(with(f("Files/f"), "1056"), [(2, "reparse-bit")]);
    assert_eq!(with(s("Files/l", "x"), "32"), [(2, "reparse-bit")]);
    for none in ["x", "-1", "+16", "0x10", "4294967296"] {
        assert_eq!(with(f("Files/f"), none), [(2, "attributes")], "{none}");
    }
    let junction = s("Files/l", "x").with("MSWINDOWS.mountpoint", "1");
    assert_eq!(with(junction, "1056"), [(2, "directory-bit")]);
}

#[test]
fn descriptors_are_descriptors() {
    let with =
        |key: &str, value: &str| lint(&[d("Files"), f("Files/f").with(key, value), d("Hives")]);
    let open = "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==";
    let report = with("MSWINDOWS.rawsd", open);
    assert!(report.is_accepted());
    assert!(warnings(&report).contains(&"open-to-all"));
    assert_eq!(errors(&with("MSWINDOWS.rawsd", "AQAE")), [(2, "security")]);
    assert_eq!(errors(&with("MSWINDOWS.rawsd", "!")), [(2, "security")]);
    assert!(warnings(&with("MSWINDOWS.sd", "O:BAG:SY")).contains(&"security-as-text"));
    assert_eq!(errors(&with("MSWINDOWS.xattr.EA", "!")), [(2, "record")]);
    assert_eq!(errors(&with("MSWINDOWS.xattr.EA", "AQ==")), []);
}

#[test]
fn times_are_times_and_none_is_later_than_the_epoch() {
    for key in ["LIBARCHIVE.creationtime", "atime", "ctime", "mtime"] {
        let with = |value: &str, options| {
            let entries = [d("Files"), f("Files/f").with(key, value), d("Hives")];
            errors(&lint_with(&tar(&entries), options))
        };
        let any = LintOptions::default();
        let until = any.with_latest(MTIME);
        assert_eq!(with("yesterday", any), [(2, "time")]);
        assert_eq!(with("1700000001", any), []);
        assert_eq!(with("1700000000.000000000", until), []);
        assert_eq!(with("1700000000.000000001", until), [(2, "too-late")]);
        assert_eq!(with("-5", until), []);
    }
    let entries = [d("Files"), d("Hives")];
    let early = LintOptions::default().with_latest(MTIME - 1);
    let report = lint_with(&tar(&entries), early);
    assert_eq!(errors(&report), [(1, "too-late"), (2, "too-late")]);
}

#[test]
fn a_name_may_have_255_units_and_no_more() {
    let at = |units: usize| {
        let name = format!("Files/{}", "x".repeat(units));
        [d("Files"), f("Files/x").with("path", &name), d("Hives")]
    };
    accepted(&at(255));
    refused(&at(256), &[(2, "name-too-long")]);
    let deep = format!("Files/{}", "x/".repeat(16_400) + "x");
    let report = lint(&[d("Files"), f("Files/x").with("path", &deep), d("Hives")]);
    assert_eq!(errors(&report), [(2, "path-too-long")]);
}

#[test]
fn a_finding_reads_like_a_sentence() {
    let report = lint(&[
        d("Files"),
        f("Files/README"),
        f("Files/readme"),
        f("x"),
        d("Hives"),
    ]);
    let texts: Vec<_> = report.errors().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"entry 3, "Files/readme": differs from "Files/README" by case only, and is the same"#,
            r#"entry 4, "x": is not below "Files": Windows would put it where nobody finds it"#,
        ]
    );
}

/// Every word is another, and every fault has a text.
#[test]
fn faults_have_words_and_texts() {
    let text = || "x".to_owned();
    let faults = [
        LayerFault::NotATar(text()),
        LayerFault::Truncated,
        LayerFault::Unterminated,
        LayerFault::AfterEnd,
        LayerFault::TooMuch,
        LayerFault::RecordsTooLong(1),
        LayerFault::EntryType(b'3'),
        LayerFault::GnuLongName,
        LayerFault::Record(text()),
        LayerFault::Content,
        LayerFault::NotUtf8,
        LayerFault::Absolute,
        LayerFault::NotUnderFiles,
        LayerFault::Name(text(), NameFault::Dots),
        LayerFault::PathTooLong(1),
        LayerFault::MissingParent(text()),
        LayerFault::ChildBeforeDirectory(text()),
        LayerFault::ParentNoDirectory(text()),
        LayerFault::Duplicate,
        LayerFault::CaseCollision(text()),
        LayerFault::KindConflict(text()),
        LayerFault::RootNoDirectory,
        LayerFault::NoFiles,
        LayerFault::NoHives,
        LayerFault::NoUtilityVm,
        LayerFault::LinkOutsideFiles(text()),
        LayerFault::LinkBeforeTarget(text()),
        LayerFault::LinkTargetElsewhere(text()),
        LayerFault::LinkTarget,
        LayerFault::WhiteoutOutsideFiles,
        LayerFault::OpaqueWhiteout,
        LayerFault::Attributes(text()),
        LayerFault::DirectoryBit(1),
        LayerFault::ReparseBit(1),
        LayerFault::Security("x"),
        LayerFault::OpenToAll,
        LayerFault::SecurityAsText,
        LayerFault::Time("x", text()),
        LayerFault::TooLate("x", text()),
        LayerFault::NoAttributes(1),
        LayerFault::NoCreationTime(1),
        LayerFault::NoSecurity(1),
    ];
    let words: std::collections::BTreeSet<_> = faults.iter().map(LayerFault::code).collect();
    assert_eq!(words.len(), faults.len());
    for fault in &faults {
        assert!(fault.to_string().len() > 10, "{}", fault.code());
    }
}
