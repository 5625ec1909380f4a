#!/usr/bin/env bash
# What the workspace is made of: licences, bans, sources, unused dependencies, and advisories where their database can be had.
set -euo pipefail

# Built for one run of a few seconds: without optimisation, which halves what the building takes.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo install --locked --quiet cargo-deny@0.20.2 cargo-shear@1.12.4

cargo deny --locked check licenses bans sources
cargo shear --locked

# A function has ring; aws-lc, larger, is reqwest's, in the laptop cloud and the tests.
functions=$(cargo tree --locked -p confab-functions -e normal --prefix none)
if grep -E '^(aws-lc-rs|aws-lc-sys|reqwest|axum|regex) ' <<<"$functions"; then
    echo "a function has a crate that it must not have" >&2
    exit 1
fi

if GIT_TERMINAL_PROMPT=0 timeout 60 cargo deny --locked fetch db; then
    cargo deny --locked check advisories
else
    echo "ADVISORIES NOT CHECKED: RustSec's database, a git repository on GitHub, cannot be reached from here" >&2
fi
