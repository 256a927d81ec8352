//! Whether bytes are a security descriptor: lengths and offsets, identifiers, lists.
//!
//! Form: [MS-DTYP, 2.4](https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-dtyp/7d4dac05-9cef-4563-a058-f108abecce1d).
//! What a right means is not looked at.

use crate::security::DACL_PRESENT;

/// All offsets are from the beginning.
const SELF_RELATIVE: u16 = 0x8000;
/// There is a list of what is watched.
const SACL_PRESENT: u16 = 0x0010;

/// Bytes before the first identifier.
const HEADER: usize = 20;

/// The most sub-authorities of an identifier, inclusive.
const MAX_SUB_AUTHORITIES: u8 = 15;

/// What a security descriptor says of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// There is a list.
    Listed,
    /// There is none, so everybody may do everything.
    OpenToAll,
}

/// Whether `bytes` are a self-relative security descriptor; if not, why.
pub(super) fn check(bytes: &[u8]) -> Result<Access, &'static str> {
    let header = bytes.get(..HEADER).ok_or("it is shorter than its header")?;
    let [revision, _, low, high, ..] = *header else {
        return Err("it is shorter than its header");
    };
    if revision != 1 {
        return Err("its revision is not 1");
    }
    let control = u16::from_le_bytes([low, high]);
    if control & SELF_RELATIVE == 0 {
        return Err("it is not in the self-relative form");
    }
    for (at, what) in [
        (4, "its owner is no security identifier"),
        (8, "its group is no security identifier"),
    ] {
        if let Some(part) = part(bytes, at).map_err(|()| what)? {
            sid(part).ok_or(what)?;
        }
    }
    if control & SACL_PRESENT != 0
        && let Some(part) = part(bytes, 12).map_err(|()| "its system list is outside of it")?
    {
        list(part).ok_or("its system list is none")?;
    }
    let dacl = part(bytes, 16).map_err(|()| "its list is outside of it")?;
    match dacl {
        Some(part) if control & DACL_PRESENT != 0 => {
            list(part).ok_or("its list is none")?;
            Ok(Access::Listed)
        }
        _ => Ok(Access::OpenToAll),
    }
}

/// What begins at the offset that is at `at`; none if the offset is 0.
fn part(bytes: &[u8], at: usize) -> Result<Option<&[u8]>, ()> {
    let offset = u32_at(bytes, at).ok_or(())?;
    if offset == 0 {
        return Ok(None);
    }
    let offset = usize::try_from(offset).map_err(|_| ())?;
    if offset < HEADER {
        return Err(());
    }
    bytes.get(offset..).map(Some).ok_or(())
}

/// The length of the identifier that `bytes` begin with.
fn sid(bytes: &[u8]) -> Option<usize> {
    let [1, count, ..] = *bytes else {
        return None;
    };
    let length = 8 + 4 * usize::from(count);
    (count <= MAX_SUB_AUTHORITIES && bytes.len() >= length).then_some(length)
}

/// Whether `bytes` begin with an access control list whose entries lie inside it.
fn list(bytes: &[u8]) -> Option<()> {
    let size = usize::from(u16_at(bytes, 2)?);
    let count = u16_at(bytes, 4)?;
    let list = bytes.get(..size)?;
    if !matches!(list.first(), Some(2 | 4)) {
        return None;
    }
    let mut rest = list.get(8..)?;
    for _ in 0..count {
        let size = usize::from(u16_at(rest, 2)?);
        let entry = rest.get(..size).filter(|it| it.len() >= 8)?;
        // Allowed, denied, audited: a mask and an identifier. Others are left alone.
        if entry[0] <= 2 {
            sid(entry.get(8..)?)?;
        }
        rest = &rest[size..];
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{security::SecurityDescriptor, tree::Owner};

    #[test]
    fn what_the_writer_makes_is_one() {
        for it in [
            SecurityDescriptor::file(Owner::Default),
            SecurityDescriptor::directory(Owner::Default),
            SecurityDescriptor::implicit_directory(),
            SecurityDescriptor::file(Owner::ContainerUser),
            SecurityDescriptor::directory(Owner::ContainerAdministrator),
        ] {
            assert_eq!(check(&it.to_bytes()), Ok(Access::Listed));
        }
    }

    #[test]
    fn every_cut_and_many_a_change_is_seen() {
        let good = SecurityDescriptor::directory(Owner::Default).to_bytes();
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "cut to {end}");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            check(&bytes)
        };
        assert_eq!(with(0, 2), Err("its revision is not 1"));
        assert_eq!(with(3, 0), Err("it is not in the self-relative form"));
        assert_eq!(with(4, 3), Err("its owner is no security identifier"));
        assert_eq!(with(21, 16), Err("its owner is no security identifier"));
        assert_eq!(with(9, 1), Err("its group is no security identifier"));
        assert_eq!(with(17, 1), Err("its list is outside of it"));
        assert_eq!(with(48, 3), Err("its list is none"), "revision");
        assert_eq!(with(52, 8), Err("its list is none"), "one entry too many");
        assert_eq!(with(58, 4), Err("its list is none"), "an entry too short");
        assert_eq!(with(2, 0), Ok(Access::OpenToAll), "no list by its control");
        assert_eq!(with(16, 0), Ok(Access::OpenToAll), "no list by its offset");
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_or_not(mut bytes in prop::collection::vec(any::<u8>(), 0..200), shape: bool) {
            if shape && bytes.len() > 4 {
                bytes[0] = 1;
                bytes[3] |= 0x80;
            }
            let _ = check(&bytes);
        }
    }
}
