//! Blocks that are packed already: archives, pictures, what is encrypted.
//!
//! To look for repetitions in them takes as long as in any other, and finds none. So it is
//! told in a thirtieth of that time, from the block alone, whether it is worth trying:
//!
//! - its bytes are as frequent as in noise: codes of varying length gain nothing;
//! - of a sample of its places, none is repeated within deflate's window: matches gain nothing.

/// As much as noise has of it, in bits a byte, inclusive: what is left to gain is about
/// half a percent. Noise itself has 7.9996 in a block.
const ENTROPY: f64 = 7.99;

/// The same at the beginning of a block, by which most of what can be compressed is told.
const ENTROPY_AT_FIRST: f64 = 7.9;

/// Blocks this short, exclusive, in bytes, are not worth the question: so few bytes are never evenly
/// frequent.
const SHORTEST: usize = 64 * 1024;

/// How far back deflate finds a repetition, in bytes, inclusive.
const WINDOW: usize = 32 * 1024;

/// Of so many places one is looked at, which one its own bytes say: so a repetition is found
/// wherever it lies.
const SAMPLE: u32 = 32;

/// How many places are remembered; more of them than a window has.
const PLACES: usize = 4096;

/// The part of the sample that may be repeated, as one of so many.
const REPEATED: usize = 64;

/// Whether compressing `block` would gain next to nothing.
pub(super) fn is_packed(block: &[u8]) -> bool {
    let beginning = block.get(..SHORTEST);
    beginning.is_some_and(|it| entropy(it) >= ENTROPY_AT_FIRST)
        && entropy(block) >= ENTROPY
        && !repeats(block)
}

/// Of the bytes by themselves, in bits a byte.
fn entropy(block: &[u8]) -> f64 {
    // Four counts in turns: equal bytes in a row would wait for one another.
    let mut counts = [[0u32; 256]; 4];
    for (at, byte) in block.iter().enumerate() {
        counts[at % 4][usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(block.len()).unwrap_or(u32::MAX));
    let each = (0..256).map(|byte| counts.iter().map(|it| it[byte]).sum::<u32>());
    let weighted = each.filter(|it| *it > 0).map(|count| {
        let share = f64::from(count) / total;
        -share * share.log2()
    });
    weighted.sum()
}

/// Whether more of the sample than noise would have is repeated within the window.
fn repeats(block: &[u8]) -> bool {
    let mut places = vec![usize::MAX; PLACES];
    let (mut sampled, mut repeated) = (0, 0);
    for (at, word) in block.windows(4).enumerate() {
        let hash = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let hash = hash.wrapping_mul(0x9e37_79b1);
        if hash >= u32::MAX / SAMPLE {
            continue;
        }
        sampled += 1;
        let place = &mut places[hash as usize % PLACES];
        let before = std::mem::replace(place, at);
        let is_near = before != usize::MAX && at - before <= WINDOW;
        if is_near && block[before..before + 4] == *word {
            repeated += 1;
        }
    }
    repeated * REPEATED > sampled
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const BLOCK: usize = 512 * 1024;

    /// Bytes without any order, always the same.
    pub(in super::super) fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut noise: Vec<u8> = std::iter::repeat_with(&mut next)
            .take(length.div_ceil(8))
            .flatten()
            .collect();
        noise.truncate(length);
        noise
    }

    #[test]
    fn noise_is_packed_already() {
        for length in [SHORTEST, 100_001, BLOCK] {
            assert!(is_packed(&noise(length)), "{length}");
        }
    }

    #[test]
    fn what_can_be_compressed_is_not() {
        let length = BLOCK;
        assert!(!is_packed(&vec![0; length]));
        assert!(!is_packed(&b"a line of text\n".repeat(length / 15)));
        // Half of each byte is always the same.
        let hex: Vec<u8> = noise(length).iter().map(|it| it & 0x7f).collect();
        assert!(!is_packed(&hex));
    }

    #[test]
    fn noise_that_comes_again_within_the_window_is_not() {
        for period in [500, 10_000, WINDOW] {
            let again = noise(period).repeat(BLOCK.div_ceil(period));
            assert!(!is_packed(&again), "{period}");
        }
        // Further than that deflate does not look.
        assert!(is_packed(&noise(2 * WINDOW).repeat(8)));
    }

    #[test]
    fn a_tenth_of_text_is_enough_to_try() {
        let mut block = noise(BLOCK);
        let text = b"{\"name\": \"longshore\", \"kind\": \"text\"}\n";
        let tenth = block.len() / 10;
        for (byte, of) in block[..tenth].iter_mut().zip(text.iter().cycle()) {
            *byte = *of;
        }
        assert!(!is_packed(&block));
    }

    #[test]
    fn what_is_short_is_tried() {
        assert!(!is_packed(&noise(SHORTEST - 1)));
        assert!(!is_packed(b""));
    }
}
