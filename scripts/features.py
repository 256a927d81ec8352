#!/usr/bin/env python3
"""Keeps the last two columns of docs/features.md true.

    scripts/features.py               writes status and test names into the ledger
    scripts/features.py --check       writes nothing; exit 1 if the ledger is stale
    scripts/features.py --ran LOG     also exit 1 if a test the ledger names is not
                                      among the passed ones of a `cargo test` log

A row's tests are the functions named after it, `fn z5_manifest_bytes_…()`, that
carry a test attribute. A status of "partial: what is missing" is written by
hand and kept as long as the row has a test.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEDGER = ROOT / "docs" / "features.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \|")
CELL = re.compile(r"(?<!\\)\|")
SUMMARY = re.compile(r"(<!-- summary -->\n).*?(<!-- /summary -->)", re.S)
# A test attribute, or the `proptest!` form, before the function's name.
TEST = re.compile(
    r"#\[(?:\w+::)*test(?:\([^)]*\))?\]\s*"
    r"(?:#\[[^\]]*\]\s*|//[^\n]*\s*)*"
    r"(?:pub(?:\([^)]*\))?\s+)?(?:async\s+)?fn\s+(([a-z]\d+)_\w+)"
)
PASSED = re.compile(r"^test (?:.*::)?(\w+)(?: - should panic)? \.\.\. ok$", re.M)


def tests_in_tree():
    """Row ID -> sorted names of the tests named after it."""
    found = {}
    for path in sorted(ROOT.rglob("*.rs")):
        if "target" in path.relative_to(ROOT).parts:
            continue
        for name, row in TEST.findall(path.read_text(encoding="utf-8")):
            found.setdefault(row.upper(), set()).add(name)
    return {row: sorted(names) for row, names in found.items()}


def status(written, names):
    if not names:
        return "not yet"
    return written if written.startswith("partial") else "done"


def renew(text, tests):
    """The ledger with its last two columns and its summary written anew."""
    seen, count = set(), {"done": 0, "partial": 0, "not yet": 0}
    lines = []
    for line in text.split("\n"):
        match = ROW.match(line)
        if match:
            row = match.group(1)
            if row in seen:
                sys.exit(f"{LEDGER.name}: {row} stands there twice")
            seen.add(row)
            cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
            if len(cells) != 5:
                sys.exit(f"{LEDGER.name}: {row} has {len(cells)} cells, not 5")
            names = tests.get(row, [])
            cells[3] = status(cells[3], names)
            cells[4] = ", ".join(f"`{name}`" for name in names)
            count["partial" if cells[3].startswith("partial") else cells[3]] += 1
            line = f"| {' | '.join(cells)} |".replace("|  |", "| |")
        lines.append(line)
    unknown = sorted(set(tests) - seen)
    if unknown:
        sys.exit(f"tests named after rows the ledger does not have: {' '.join(unknown)}")
    summary = "{done} of {all} rows done, {partial} partial, {rest} not yet.".format(
        done=count["done"], partial=count["partial"], rest=count["not yet"], all=len(seen)
    )
    return SUMMARY.sub(rf"\g<1>{summary}\n\g<2>", "\n".join(lines)), summary


def missing_from(log, tests):
    passed = set(PASSED.findall(pathlib.Path(log).read_text(encoding="utf-8", errors="replace")))
    return sorted(name for names in tests.values() for name in names if name not in passed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("--ran", metavar="LOG", help="a cargo test log in which every named test must have passed")
    arguments = parser.parse_args()

    tests = tests_in_tree()
    text = LEDGER.read_text(encoding="utf-8")
    renewed, summary = renew(text, tests)
    failed = False
    if arguments.check or arguments.ran:
        if renewed != text:
            print("docs/features.md is stale: run scripts/features.py", file=sys.stderr)
            failed = True
    else:
        LEDGER.write_text(renewed, encoding="utf-8")
    if arguments.ran:
        missing = missing_from(arguments.ran, tests)
        if missing:
            print(f"named in the ledger, not passed in {arguments.ran}: {' '.join(missing)}", file=sys.stderr)
            failed = True
    print(summary)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
