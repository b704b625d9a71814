# The commands of a contributor. `just` without a name lists them.

_list:
    @just --list --unsorted

# Check format, lints, docs, and which folder uses which
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --document-private-items
    cargo test --all-features --test architecture

# Run the tests that need no root, Docker or internet, of all packages or of one: core, engine-quic, registry-redis, registry-local, virtnet
test package="":
    cargo nextest run --profile quick --all-features {{ if package == "" { "--workspace" } else if package == "virtnet" { "--package virtnet" } else { "--package virtnet-" + package } }}

# Run everything that decides whether a change is merged
ci:
    .ci/run
