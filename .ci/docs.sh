#!/usr/bin/env bash
# Builds the documentation and checks its links: from a clean checkout, on a machine with only Python.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r docs/site/requirements.txt
export PATH="$PWD/.venv/bin:$PATH"

mdbook build docs
python3 -B docs/site/links.py docs/book
