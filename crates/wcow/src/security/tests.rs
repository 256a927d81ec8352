//! Each value was decoded and held against its SDDL; here they are as text.

use super::*;

#[track_caller]
fn check(it: &SecurityDescriptor, bytes: usize, base64: &str) {
    assert_eq!(it.to_bytes().len(), bytes);
    assert_eq!(it.to_base64(), base64);
}

#[test]
fn b13_a_copied_directory_has_the_rights_of_an_ordinary_one() {
    // O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)
    //          (A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)
    check(
        &SecurityDescriptor::directory(Owner::Default),
        216,
        "AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgCoAAcAAAAAAxgA/wEfAAECAAAAAAAFIAAAACACAAAAAxQA/wEfAAEBAAAAAAAFEgAAAAAAGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAALFAAAAAAQAQEAAAAAAAMAAAAAAAMYAKkAEgABAgAAAAAABSAAAAAhAgAAAAIYAAQAAAABAgAAAAAABSAAAAAhAgAAAAIYAAIAAAABAgAAAAAABSAAAAAhAgAA",
    );
}

#[test]
fn b13_a_copied_file_is_read_and_run_by_users() {
    // O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)
    check(
        &SecurityDescriptor::file(Owner::Default),
        124,
        "AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABgA/wEfAAECAAAAAAAFIAAAACACAAAAABQA/wEfAAEBAAAAAAAFEgAAAAAAGACpABIAAQIAAAAAAAUgAAAAIQIAAA==",
    );
}

#[test]
fn b13_a_directory_on_the_way_gives_users_no_right_to_add() {
    // O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;BU)
    check(
        &SecurityDescriptor::implicit_directory(),
        124,
        "AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAAxgA/wEfAAECAAAAAAAFIAAAACACAAAAAxQA/wEfAAEBAAAAAAAFEgAAAAADGACpABIAAQIAAAAAAAUgAAAAIQIAAA==",
    );
}

#[test]
fn b13_what_the_containers_user_owns_is_fully_its_own() {
    // O:S-1-5-93-2-2G:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;FA;;;S-1-5-93-2-2)(A;;0x1200a9;;;BU)
    check(
        &SecurityDescriptor::file(Owner::ContainerUser),
        156,
        "AQAEgBQAAAAoAAAAAAAAADQAAAABAwAAAAAABV0AAAACAAAAAgAAAAEBAAAAAAAFEgAAAAIAaAAEAAAAAAAYAP8BHwABAgAAAAAABSAAAAAgAgAAAAAUAP8BHwABAQAAAAAABRIAAAAAABwA/wEfAAEDAAAAAAAFXQAAAAIAAAACAAAAAAAYAKkAEgABAgAAAAAABSAAAAAhAgAA",
    );
    // The same, each OICI.
    check(
        &SecurityDescriptor::directory(Owner::ContainerUser),
        156,
        "AQAEgBQAAAAoAAAAAAAAADQAAAABAwAAAAAABV0AAAACAAAAAgAAAAEBAAAAAAAFEgAAAAIAaAAEAAAAAAMYAP8BHwABAgAAAAAABSAAAAAgAgAAAAMUAP8BHwABAQAAAAAABRIAAAAAAxwA/wEfAAEDAAAAAAAFXQAAAAIAAAACAAAAAAMYAKkAEgABAgAAAAAABSAAAAAhAgAA",
    );
}

/// Nobody has published a value for this account; it differs from the user's in the last
/// part of its identifier, in the owner and in the entry that gives it its rights.
#[test]
fn what_the_containers_administrator_owns_differs_by_the_account() {
    for of in [SecurityDescriptor::file, SecurityDescriptor::directory] {
        let user = of(Owner::ContainerUser).to_bytes();
        let administrator = of(Owner::ContainerAdministrator).to_bytes();
        let differ: Vec<_> = (0..user.len())
            .filter(|at| user[*at] != administrator[*at])
            .map(|at| (user[at], administrator[at]))
            .collect();
        assert_eq!(differ, [(2, 1), (2, 1)]);
    }
}

/// What other tools write, without a list: everybody may do everything. Never ours; the
/// form without a list is theirs, and the linter knows it.
#[test]
fn descriptors_without_a_list_have_their_form() {
    let open = |owner, group| SecurityDescriptor {
        owner,
        group,
        dacl: None,
    };
    check(
        &open(Sid::Users, Sid::Users),
        52,
        "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==",
    );
    check(
        &open(Sid::Administrators, Sid::Administrators),
        52,
        "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAgAgAAAQIAAAAAAAUgAAAAIAIAAA==",
    );
}
