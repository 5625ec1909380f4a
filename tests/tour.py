"""Runs README's tour with curl, and the client library's test with a server, against a laptop cloud with what is open on
AWS: paths with a trailing slash are other paths, and `WWW-Authenticate` is renamed. Needs curl, and `npm ci` in web/.

    tests/tour.py
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import laptop

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONS = ["--like-aws", "--aws-setting", "literal-slashes=on", "--aws-setting", "remap-www-authenticate=on"]
# A redirection is a success for curl, and here a failure.
STRICT = 'curl() { command curl -sS --fail-with-body -w "\\n%{http_code}\\n" "$@" | tee -a "$STATUSES" | sed \'$d\'; }\n'


def main():
    confab = laptop.program(None, True)
    with laptop.running(confab, ROOT / "template.yaml", ["AttemptsPerAddress=0"], options=OPTIONS) as port:
        run_tour(port)
        run_client(port)


def run_tour(port):
    readme = (ROOT / "README.md").read_text()
    tour = readme.split("## A tour with curl")[1].split("```sh\n")[1].split("```")[0].replace(":8000", f":{port}")
    with tempfile.NamedTemporaryFile("r") as statuses:
        command = ["bash", "-euo", "pipefail", "-c", STRICT + tour]
        variables = {**os.environ, "STATUSES": statuses.name}
        output = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
        wrong = [line for line in statuses.read().splitlines() if line.isdigit() and not line.startswith("2")]
    if wrong or "Hello!" not in output or "Hey whatsup!" not in output:
        sys.exit(f"README's tour got {wrong}: {output}")


def run_client(port):
    variables = {"CONFAB_URL": f"http://127.0.0.1:{port}", "CONFAB_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/ws"}
    subprocess.run(["npm", "run", "test:live", "--workspace", "client"], cwd=ROOT / "web", env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    main()
