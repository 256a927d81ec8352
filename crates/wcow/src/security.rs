//! Security descriptors: who may do what with a file on Windows.
//!
//! A layer has them in their self-relative form, in base64. Nobody parses SDDL here:
//! the few that layers need are built from typed parts, and tests hold them against
//! their bytes. Form: [MS-DTYP, 2.4.6](https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-dtyp/7d4dac05-9cef-4563-a058-f108abecce1d).
//!
//! What a COPY brings has the rights that files have on an ordinary volume: everybody
//! reads and runs, and in a directory everybody may add something. A directory that is
//! only on the way to that (`Windows\System32`) is given away with less, since it may
//! be one of the base's, and its descriptor then stands for the base's.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::tree::Owner;

/// The self-relative form: all offsets are from its own beginning.
const SELF_RELATIVE: u16 = 0x8000;

/// There is an access control list. Without one everybody may do everything.
pub(crate) const DACL_PRESENT: u16 = 0x0004;

/// The header: revision, control and four offsets, in bytes.
const HEADER: usize = 20;

/// Who somebody is: a well-known security identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sid {
    /// `BA`, S-1-5-32-544.
    Administrators,
    /// `BU`, S-1-5-32-545.
    Users,
    /// `SY`, S-1-5-18.
    System,
    /// `CO`, S-1-3-0: whoever makes something in the directory.
    CreatorOwner,
    /// S-1-5-93-2-1.
    ContainerAdministrator,
    /// S-1-5-93-2-2.
    ContainerUser,
}

/// Something that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allow {
    /// How it is handed on to what is in a directory.
    inherit: u8,
    /// What is allowed, as an access mask.
    rights: u32,
    /// To whom.
    to: Sid,
}

/// A security descriptor, with a list of what is allowed or without any limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecurityDescriptor {
    owner: Sid,
    group: Sid,
    dacl: Option<Vec<Allow>>,
}

/// Nothing is handed on.
const ITSELF: u8 = 0;
/// `CI`: to directories.
const DIRECTORIES: u8 = 0x02;
/// `OICI`: to files and directories.
const ALL: u8 = 0x03;
/// `OICIIO`: to files and directories, and not to itself.
const ALL_BUT_ITSELF: u8 = 0x0b;

/// `FA`, `FILE_ALL_ACCESS`.
const FULL: u32 = 0x001f_01ff;
/// `GA`, `GENERIC_ALL`.
const GENERIC_ALL: u32 = 0x1000_0000;
/// `FILE_GENERIC_READ | FILE_GENERIC_EXECUTE`.
const READ: u32 = 0x0012_00a9;
/// `LC`, on a directory: add a subdirectory.
const ADD_DIRECTORY: u32 = 0x0000_0004;
/// `DC`, on a directory: add a file.
const ADD_FILE: u32 = 0x0000_0002;

// === impl Sid ===

impl Sid {
    /// Identifier authority and sub-authorities.
    fn parts(self) -> (u8, &'static [u32]) {
        match self {
            Self::Administrators => (5, &[32, 544]),
            Self::Users => (5, &[32, 545]),
            Self::System => (5, &[18]),
            Self::CreatorOwner => (3, &[0]),
            Self::ContainerAdministrator => (5, &[93, 2, 1]),
            Self::ContainerUser => (5, &[93, 2, 2]),
        }
    }

    fn write(self, to: &mut Vec<u8>) {
        let (authority, sub) = self.parts();
        to.extend_from_slice(&[1, small(sub.len()), 0, 0, 0, 0, 0, authority]);
        for it in sub {
            to.extend_from_slice(&it.to_le_bytes());
        }
    }
}

// === impl SecurityDescriptor ===

impl SecurityDescriptor {
    /// Of a file that was copied.
    pub(crate) fn file(owner: Owner) -> Self {
        Self::owned(owner, ITSELF).unwrap_or_else(|| {
            let allowed = [
                allow(ITSELF, FULL, Sid::Administrators),
                allow(ITSELF, FULL, Sid::System),
                allow(ITSELF, READ, Sid::Users),
            ];
            Self::of_administrators(allowed)
        })
    }

    /// Of a directory that was copied: who may use it may add to it.
    pub(crate) fn directory(owner: Owner) -> Self {
        Self::owned(owner, ALL).unwrap_or_else(|| {
            let allowed = [
                allow(ALL, FULL, Sid::Administrators),
                allow(ALL, FULL, Sid::System),
                allow(ITSELF, FULL, Sid::Administrators),
                allow(ALL_BUT_ITSELF, GENERIC_ALL, Sid::CreatorOwner),
                allow(ALL, READ, Sid::Users),
                allow(DIRECTORIES, ADD_DIRECTORY, Sid::Users),
                allow(DIRECTORIES, ADD_FILE, Sid::Users),
            ];
            Self::of_administrators(allowed)
        })
    }

    /// Of a directory that nobody asked for: users read, and add nothing.
    pub(crate) fn implicit_directory() -> Self {
        Self::of_administrators([
            allow(ALL, FULL, Sid::Administrators),
            allow(ALL, FULL, Sid::System),
            allow(ALL, READ, Sid::Users),
        ])
    }

    fn of_administrators(allowed: impl Into<Vec<Allow>>) -> Self {
        Self {
            owner: Sid::Administrators,
            group: Sid::System,
            dacl: Some(allowed.into()),
        }
    }

    /// What an account of the container's owns; none of the others.
    fn owned(owner: Owner, inherit: u8) -> Option<Self> {
        let owner = match owner {
            Owner::ContainerUser => Sid::ContainerUser,
            Owner::ContainerAdministrator => Sid::ContainerAdministrator,
            Owner::Default | Owner::Ids { .. } => return None,
        };
        let allowed = [
            allow(inherit, FULL, Sid::Administrators),
            allow(inherit, FULL, Sid::System),
            allow(inherit, FULL, owner),
            allow(inherit, READ, Sid::Users),
        ];
        Some(Self {
            owner,
            group: Sid::System,
            dacl: Some(allowed.into()),
        })
    }

    /// The self-relative form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut sids = Vec::new();
        self.owner.write(&mut sids);
        let group = HEADER + sids.len();
        self.group.write(&mut sids);
        let (control, dacl) = match &self.dacl {
            Some(_) => (SELF_RELATIVE | DACL_PRESENT, HEADER + sids.len()),
            None => (SELF_RELATIVE, 0),
        };
        let mut bytes = vec![1, 0];
        bytes.extend_from_slice(&control.to_le_bytes());
        for offset in [HEADER, group, 0, dacl] {
            bytes.extend_from_slice(&u32::try_from(offset).unwrap_or(0).to_le_bytes());
        }
        bytes.extend_from_slice(&sids);
        if let Some(list) = &self.dacl {
            write_list(list, &mut bytes);
        }
        bytes
    }

    /// As a record has it.
    pub(crate) fn to_base64(&self) -> String {
        STANDARD.encode(self.to_bytes())
    }
}

fn allow(inherit: u8, rights: u32, to: Sid) -> Allow {
    Allow {
        inherit,
        rights,
        to,
    }
}

fn write_list(list: &[Allow], to: &mut Vec<u8>) {
    let mut entries = Vec::new();
    for it in list {
        let mut sid = Vec::new();
        it.to.write(&mut sid);
        // ACCESS_ALLOWED_ACE_TYPE is 0; the size counts type, flags, itself and the mask.
        entries.extend_from_slice(&[0, it.inherit]);
        entries.extend_from_slice(&u16::from(small(8 + sid.len())).to_le_bytes());
        entries.extend_from_slice(&it.rights.to_le_bytes());
        entries.extend_from_slice(&sid);
    }
    let size = u16::try_from(8 + entries.len()).unwrap_or(u16::MAX);
    // ACL_REVISION, padding, size, count, padding.
    to.extend_from_slice(&[2, 0]);
    to.extend_from_slice(&size.to_le_bytes());
    to.extend_from_slice(&u16::from(small(list.len())).to_le_bytes());
    to.extend_from_slice(&[0, 0]);
    to.extend_from_slice(&entries);
}

/// Counts here are of lists written above, none as long as ten.
fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
