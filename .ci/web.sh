#!/usr/bin/env bash
# The web client: linters, the tests of its library, its build, and its tests in Chromium against target/debug/confab.
set -euo pipefail
cd "$(dirname "$0")/../web"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq chromium fonts-noto-color-emoji >/dev/null
fi
npm ci --no-audit --no-fund
npm run lint
npm test
npm run build
npm run test:browser
python3 ../tests/tour.py
