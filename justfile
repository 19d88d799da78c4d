# The common jobs; `just` lists them.
default:
    @just --list

# Everything that has to pass before a change lands
gate:
    bash .ci/run

# Tests only
test:
    cargo test

# Hold the results against the public captures
corpus:
    cargo test --test corpus --test tcp_truth -- --nocapture

# Write the hand-made captures again
synthesize:
    cargo run --example synthesize -- testdata/synthetic

# Fuzz one target for a minute (needs cargo-fuzz and a nightly toolchain)
fuzz target:
    cargo fuzz run {{target}} -- -max_total_time=60
