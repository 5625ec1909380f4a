#!/usr/bin/env bash
# Serves every function of template.yaml behind `cargo lambda watch`, each as a process of `bootstrap`, as it is
# deployed. The functions run in the environment of this script; `confab --env` prints the one of the laptop cloud.
# Needs cargo-lambda (`pip install cargo-lambda`).
#
#     tests/lambda_watch.sh [port]
set -euo pipefail
cd "$(dirname "$0")/.."

port=${1:-9000}
package=$(mktemp -d)
trap 'exit 1' INT TERM
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -r "$package"' EXIT

# With the tests, as `cargo test` builds: without them cargo selects other features and builds the dependencies again.
cargo build --locked --bins --tests
# cargo-lambda serves functions that are binaries of a package, so it is given a package that has a binary of each name.
# With --only-lambda-apis it builds and starts none of them.
functions=$(sed -n 's/^ *Handler: //p' template.yaml)
printf '[package]\nname = "functions"\n\n[workspace]\n' >"$package/Cargo.toml"
# Each name is a separate word.
# shellcheck disable=SC2086
printf '\n[[bin]]\nname = "%s"\npath = "main.rs"\n' $functions >>"$package/Cargo.toml"
echo 'fn main() {}' >"$package/main.rs"
(cd "$package" && exec cargo lambda watch --only-lambda-apis --invoke-address 127.0.0.1 --invoke-port "$port") &
until (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 $! 2>/dev/null || { echo "cargo lambda watch did not start." >&2; exit 1; }
    sleep 0.1
done

for function in $functions; do
    _HANDLER=$function AWS_LAMBDA_RUNTIME_API=http://127.0.0.1:$port/.rt/$function AWS_LAMBDA_FUNCTION_NAME=$function \
        AWS_LAMBDA_FUNCTION_VERSION=1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=4096 target/debug/bootstrap &
done
echo "The functions are served at http://127.0.0.1:$port."
wait
