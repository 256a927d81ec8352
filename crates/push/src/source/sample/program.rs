//! The sample's program: prints one line and ends. Machine code, by hand, since
//! nothing can be compiled where the sample is made.

use oci::Platform;

/// Its name in the image's root.
pub(super) const NAME: &str = "hello";

const MESSAGE: &[u8; 40] = b"Hello from an image pushed by longshore\n";

/// `write(1, message, 40); exit(0)`; the message follows.
const X86_64: [u8; 33] = [
    0xb8, 1, 0, 0, 0, // mov eax, 1
    0xbf, 1, 0, 0, 0, // mov edi, 1
    0x48, 0x8d, 0x35, 0x10, 0, 0, 0, // lea rsi, [rip + 16]
    0xba, 40, 0, 0, 0, // mov edx, 40
    0x0f, 0x05, // syscall
    0xb8, 60, 0, 0, 0, // mov eax, 60
    0x31, 0xff, // xor edi, edi
    0x0f, 0x05, // syscall
];

/// The same.
const AARCH64: [u32; 8] = [
    0xd280_0020, // mov x0, #1
    0x1000_00e1, // adr x1, . + 28
    0xd280_0502, // mov x2, #40
    0xd280_0808, // mov x8, #64
    0xd400_0001, // svc #0
    0xd280_0000, // mov x0, #0
    0xd280_0ba8, // mov x8, #93
    0xd400_0001, // svc #0
];

/// The program as an executable file, where there is one.
pub(super) fn for_platform(platform: &Platform) -> Option<Vec<u8>> {
    match (&*platform.os, &*platform.architecture) {
        ("linux", "amd64") => Some(executable(62, &X86_64)),
        ("linux", "arm64") => Some(executable(183, &AARCH64.map(u32::to_le_bytes).concat())),
        _ => None,
    }
}

/// A static executable of one segment
/// ([ELF-64](https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html)).
fn executable(machine: u16, code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + (code.len() + MESSAGE.len()) as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |values: &[u16]| values.iter().flat_map(|it| it.to_le_bytes()).collect();
    let mut push = |bytes: Vec<u8>| file.extend(bytes);
    push(half(&[2, machine]));
    push(1_u32.to_le_bytes().to_vec());
    push(
        [BASE + HEADERS, 64, 0]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect(),
    );
    push(vec![0; 4]);
    push(half(&[64, 56, 1, 0, 0, 0]));
    push([1_u32, 5].iter().flat_map(|it| it.to_le_bytes()).collect());
    push(
        [0, BASE, BASE, length, length, 0x1000]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect(),
    );
    push(code.to_vec());
    push(MESSAGE.to_vec());
    file
}
