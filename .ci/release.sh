#!/usr/bin/env bash
# Builds the parts of a release into target/dist/, as .github/workflows/release.yml calls it:
#
#     .ci/release.sh version TAG      checks that all packages have the tag's version
#     .ci/release.sh confab TARGET    the program `confab` with its template and the browser client
#     .ci/release.sh functions        the Lambda functions, for arm64 and x86-64
#     .ci/release.sh client           the npm package of the client library
set -euo pipefail
cd "$(dirname "$0")/.."

dist="$PWD/target/dist"

version() {
    local tag=$1 version=${1#v} found
    for found in \
        "$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)" \
        "$(sed -n 's/^  "version": "\(.*\)",$/\1/p' web/package.json)" \
        "$(sed -n 's/^  "version": "\(.*\)",$/\1/p' web/client/package.json)"; do
        if [ "$found" != "$version" ]; then
            echo "The tag is $tag, but a package has the version $found." >&2
            exit 1
        fi
    done
    grep -q "^## \[$version\]" CHANGELOG.md || { echo "CHANGELOG.md has no section [$version]." >&2; exit 1; }
}

confab() {
    local target=$1 folder="confab-$1"
    # The profile `release` is optimised for size, for cold starts.
    cargo build --locked --profile bench --target "$target" -p confab-local
    (cd web && npm ci --no-audit --no-fund && npm run build)
    rm -rf "$dist/$folder"
    mkdir -p "$dist/$folder/web"
    cp "target/$target/release/confab" template.yaml README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$dist/$folder"
    cp -R web/dist "$dist/$folder/web"
    tar -C "$dist" -czf "$dist/$folder.tar.gz" "$folder"
    rm -r "${dist:?}/$folder"
}

functions() {
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check "$(grep '^cargo-lambda==' tests/requirements.txt)"
    for architecture in arm64 x86-64; do
        # In functions/, so that features which only the laptop cloud needs are left out.
        (cd functions && PATH="$PWD/../.venv/bin:$PATH" \
            cargo lambda build --locked --release "--$architecture" --bin bootstrap --output-format zip)
        cp target/lambda/bootstrap/bootstrap.zip "$dist/confab-lambda-$architecture.zip"
    done
}

client() {
    cp LICENSE-MIT LICENSE-APACHE web/client
    (cd web && npm ci --no-audit --no-fund && npm pack --workspace client --pack-destination "$dist")
    rm web/client/LICENSE-*
}

mkdir -p "$dist"
"$@"
