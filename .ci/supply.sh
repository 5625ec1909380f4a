#!/usr/bin/env bash
# Checks the dependencies: licences, bans, sources, unused dependencies, and advisories if their database is reachable.
set -euo pipefail

# These tools run for a few seconds; building them without optimisation takes half the time.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo install --locked --quiet cargo-deny@0.20.2 cargo-shear@1.12.4

cargo deny --locked check licenses bans sources
cargo shear --locked

# The functions and `confab` use ring. aws-lc, which is larger and slow to build, comes with reqwest and the AWS SDK in the tests.
functions=$(cargo tree --locked -p confab-functions -e normal --prefix none)
if grep -E '^(aws-lc-rs|aws-lc-sys|reqwest|axum|regex) ' <<<"$functions"; then
    echo "the functions depend on a forbidden crate" >&2
    exit 1
fi

if cargo tree --locked -p confab-local -e normal,build --prefix none | grep -E '^aws-lc-'; then
    echo "the program confab depends on a forbidden crate" >&2
    exit 1
fi

if GIT_TERMINAL_PROMPT=0 timeout 60 cargo deny --locked fetch db; then
    cargo deny --locked check advisories
else
    echo "ADVISORIES NOT CHECKED: RustSec's database, a git repository on GitHub, is not reachable" >&2
fi
