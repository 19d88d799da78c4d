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

# Fuzz every reader, a minute each; stable Rust and g++ are enough
fuzz seconds="60":
    fuzz/run {{seconds}}

# Damage 20 000 captures at random and analyse them with one thread and with two
mutants:
    PCAPSY_MUTANTS=20000 cargo test --config 'profile.dev.package.pcapsy.opt-level=1' --test mutants -- --nocapture
