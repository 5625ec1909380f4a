"""Runs the shell commands of README and the documentation, compares the answers that they show, and runs the client
library's test with a server: against a laptop cloud with what is open on AWS, that is, paths with a trailing slash are
other paths and `WWW-Authenticate` is renamed. Needs curl, npx, the AWS CLI, and `npm ci` in web/.

A block in `sh` runs as it stands. A block in `text` right after it is what it prints; `…` stands for anything.
A block that cannot run here has a comment before it: `<!-- not run: REASON -->`.

    tests/tour.py              builds the program first
    tests/tour.py PROGRAM      with this one
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import laptop

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONS = ["--like-aws", "--aws-setting", "literal-slashes=on", "--aws-setting", "remap-www-authenticate=on"]
# What one reader does after the other, in one shell and with one server.
TOURS = [["README.md"], ["docs/getting-started.md", "docs/http-api.md", "docs/websocket.md"]]
# Documents whose commands run elsewhere.
ELSEWHERE = {
    "docs/benchmarks.md": "measurements of minutes",
    "docs/first-hour-on-aws.md": "needs AWS",
    "docs/like-aws.md": "the options are those of .ci/run",
    "docs/programs.md": "tests/programs.py runs them",
    "docs/runbook.md": "needs AWS",
}
BLOCK = re.compile(r"^(?P<skip><!-- not run: [^\n]+ -->\n)?```sh\n(?P<commands>.*?)^```\n(?:```text\n(?P<answer>.*?)^```$)?", re.M | re.S)
# A redirection is a success for curl, and here a failure. The program is built already.
SHELL = r"""
curl() { command curl -sS --fail-with-body -w "\n%{http_code}\n" "$@" | tee -a "$STATUSES" | sed '$d'; }
cargo() { [ "$*" = "run -q -- --env" ] && "$CONFAB" --env --port "$PORT"; }
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("confab", nargs="?", type=pathlib.Path, help="the program to test with")
    arguments.add_argument("--no-client", action="store_true", help="do not run the client library's test")
    given = arguments.parse_args()
    confab = laptop.program(given.confab, not given.confab)
    check_all_are_known()
    for tour in TOURS:
        with cloud(confab) as port:
            run_tour(tour, confab, port)
    if not given.no_client:
        with cloud(confab) as port:
            run_client(port)


def cloud(confab):
    return laptop.running(confab, ROOT / "template.yaml", ["AttemptsPerAddress=0"], options=OPTIONS)


def check_all_are_known():
    """Fails if a document has a block that neither runs nor says why."""
    toured = sum(TOURS, [])
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        name = str(path.relative_to(ROOT))
        unknown = [block["commands"] for block in BLOCK.finditer(path.read_text()) if not block["skip"]]
        if unknown and name not in toured and name not in ELSEWHERE:
            sys.exit(f"{name}: run this in a tour, or say why not: {unknown[0]}")


def run_tour(documents, confab, port):
    blocks = [(name, block) for name in documents for block in BLOCK.finditer((ROOT / name).read_text()) if not block["skip"]]
    with tempfile.TemporaryDirectory() as folder:
        script = SHELL
        for number, (_, block) in enumerate(blocks):
            script += f'exec > "{folder}/{number}"\n' + block["commands"].replace(":8000", f":{port}")
        statuses = pathlib.Path(folder, "statuses")
        variables = {**os.environ, "STATUSES": str(statuses), "CONFAB": str(confab), "PORT": str(port)}
        # wscat ends when its input does, so it gets one that does not.
        terminal, keyboard = os.pipe()
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=variables, stdin=terminal, check=True)
        os.close(keyboard)
        os.close(terminal)
        wrong = [line for line in statuses.read_text().splitlines() if line.isdigit() and not line.startswith("2")]
        if wrong:
            sys.exit(f"{documents}: answers with {wrong}")
        for number, (name, block) in enumerate(blocks):
            compare(name, block, pathlib.Path(folder, str(number)).read_text())
    print(f"{', '.join(documents)}: {len(blocks)} blocks run as written.", flush=True)


def compare(name, block, output):
    if block["answer"] is None:
        return
    # These come whenever they come.
    answer = re.sub(r'^{"type":"(added|online|offline)".*\n', "", output, flags=re.MULTILINE)
    pattern = ".*".join(re.escape(part) for part in in_one_line(block["answer"]).split("…"))
    if not re.fullmatch(pattern, in_one_line(answer)):
        sys.exit(f"{name}:\n{block['commands']}\nshows\n{block['answer']}\nand gets\n{output}")


def in_one_line(text):
    """The text without line breaks and indentation, which the documents may change."""
    return "".join(line.strip() for line in text.splitlines())


def run_client(port):
    variables = {"CONFAB_URL": f"http://127.0.0.1:{port}", "CONFAB_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/ws"}
    subprocess.run(["npm", "run", "test:live", "--workspace", "client"], cwd=ROOT / "web", env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    main()
