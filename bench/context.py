"""A build context made from a seed: the same files, byte for byte, wherever it is made.

10,000 files of 1 GiB together in 400 directories. Sizes are spread as those of programs are: half of the
files have less than 10 KiB, and a few have most of the bytes. By bytes, and what gzip -6 makes of each:

    50 %  text        words as often as words are used (source, JSON, markup)      0.37
    30 %  programs    instructions with constants in them, tables, runs of zeros   0.55
    20 %  packed      random bytes: images, archives, fonts                        1.00
"""

import bisect
import itertools
import pathlib
import random

MIB = 1 << 20
FILES = 10_000
BYTES = 1024 * MIB
DIRECTORIES = 400
SEED = 20
# What of the bytes is which, and how its files are called.
MIX = (("text", 0.5, (".js", ".json", ".cs", ".xml")), ("programs", 0.3, (".dll", ".exe", ".so")), ("packed", 0.2, (".png", ".zip")))
# Files are pieces of these, from anywhere in them: no compressor's window finds them twice but by chance.
POOL = 24 * MIB


def _zipf(chance, words, length):
    """So many bytes of words, the n-th as often as 1/n."""
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(words))))
    picked, size = [], 0
    while size < length:
        some = chance.choices(words, cum_weights=weights, k=200_000)
        picked.append(b"".join(some))
        size += len(picked[-1])
    return b"".join(picked)[:length]


def _text(chance):
    letters = b"etaoinshrdlucmfwypvbgkjqxz"
    weights = [1 / (it + 2) for it in range(len(letters))]
    words = [bytes(chance.choices(letters, weights, k=chance.randint(2, 11))) + chance.choice((b" ", b" ", b"_", b"(", b");\n    ", b": \"", b"\", "))
             for _ in range(30_000)]
    return _zipf(chance, words, POOL)


def _programs(chance):
    words = [chance.randbytes(chance.choice((1, 2, 2, 3, 3, 4, 5, 7))) for _ in range(6_000)]
    words[40:44] = [bytes(8), bytes(4), bytes(16), b"\xff" * 4]
    return _zipf(chance, words, POOL)


def _packed(chance):
    return chance.randbytes(POOL)


def sizes(chance):
    """How long each file is; together exactly so many bytes."""
    raw = sorted(chance.lognormvariate(0, 2.2) for _ in range(FILES))
    scale = BYTES / sum(raw)
    found = [max(64, int(it * scale)) for it in raw]
    found[-1] += BYTES - sum(found)
    chance.shuffle(found)
    return found


def make(directory, seed=SEED):
    """Writes the context, and says how many bytes it has of each kind."""
    directory = pathlib.Path(directory)
    chance = random.Random(seed)
    pools = {"text": _text(chance), "programs": _programs(chance), "packed": _packed(chance)}
    bounds = list(itertools.accumulate(share for _, share, _ in MIX))
    for number in range(DIRECTORIES):
        (directory / "app" / f"part-{number % 20:02}" / f"unit-{number:03}").mkdir(parents=True)
    counted = dict.fromkeys(pools, 0)
    for number, size in enumerate(sizes(chance)):
        # By bytes written so far, so that the shares hold however the large files fall.
        short = [counted[kind] / share for kind, share, _ in MIX]
        kind, _, ends = MIX[min(bisect.bisect(bounds, chance.random()), 2)] if size < MIB else MIX[short.index(min(short))]
        place = directory / "app" / f"part-{number % 20:02}" / f"unit-{number % DIRECTORIES:03}" / f"file-{number:05}{chance.choice(ends)}"
        with open(place, "wb") as file:
            left = size
            while left:
                start = chance.randrange(POOL - 4096)
                piece = pools[kind][start:start + left]
                file.write(piece)
                left -= len(piece)
        counted[kind] += size
    return counted
