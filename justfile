# The few commands a contributor needs. `just` lists them.

_default:
    @just --list --unsorted

# Formatting, lints, dependency rules, documentation, the feature ledger
check: && doc
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo deny check bans licenses sources
    scripts/walls.sh
    scripts/features.py --check

# Every test, as the README has it
test:
    cargo test --workspace

# The main job, end to end, on this machine alone
demo:
    cargo run --release -- demo

# Documentation of all crates; a warning is an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# A real image to real registries and back (Debian, root)
real:
    cargo build --release --locked
    ci/real-image.sh

# longshore beside other tools, one run (Debian, Go, GNU time); see docs/benchmarks.md
bench *arguments:
    cargo build --release --locked
    bench/run {{ arguments }}

# What is done again and again, beside other tools, 0 to 100 ms away; see docs/round-trips.md
bench-round-trips *arguments:
    cargo build --release --locked
    bench/round-trips {{ arguments }}

# First pushes with ever more layers, beside other tools; see docs/round-trips.md
bench-by-layers *arguments:
    cargo build --release --locked
    bench/by-layers {{ arguments }}

# Ten releases of one application, beside other tools; see docs/round-trips.md
bench-releases *arguments:
    cargo build --release --locked
    bench/releases {{ arguments }}

# The embedded registry beside other registries, one run; see docs/benchmarks.md
bench-server *arguments:
    cargo build --release --locked
    bench/server {{ arguments }}

# An image of 10,000 files and 1 GiB, beside other tools, one run; see docs/benchmarks.md
bench-build *arguments:
    cargo build --release --locked
    bench/build {{ arguments }}

# The registry is killed 1,000 times while clients push
crash kills="1000":
    LONGSHORE_CRASH_KILLS={{ kills }} cargo test -p longshore --test crash -- --nocapture

# Pushes through a proxy that breaks something each time; see docs/reliability.md
faults *arguments="--runs 2000":
    cargo run -p longshore-chaos -- {{ arguments }}

# The same with every fault at every request and a cut at every byte; the page gets the figures
faults-all:
    cargo run --release -p longshore-chaos -- --seed 1 --exhaustive --runs 10000 --write docs/reliability.md

# Bugs on purpose, each of which has to be caught; the page gets the table
mutations *names:
    chaos/mutations.sh write {{ names }}

# A push of 1 GiB in one body is killed 200 times, and one of 64 MiB in chunks
kills kills="200" mib="1024":
    LONGSHORE_CRASH_KILLS={{ kills }} LONGSHORE_CRASH_MIB={{ mib }} cargo test -p longshore --test crash p1_ -- --nocapture

# A blob of 20 GB goes up in one body, within 64 MiB of memory
large mib="19074":
    LONGSHORE_LARGE_BLOB_MIB={{ mib }} cargo test --release -p longshore --test command p26 -- --nocapture

# All checks, as the build machine runs them
ci:
    .ci/run
