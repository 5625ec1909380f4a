#!/usr/bin/env python3
"""Writes a template that deploys a released zip, so that `sam deploy` needs no compiler.

    deploy/prebuilt.py confab-lambda-arm64.zip
    sam deploy --guided --template-file prebuilt.yaml

The result, prebuilt.yaml, is template.yaml with the zip as code, the zip's architecture, and nothing to build.
Needs Python only.
"""

import argparse
import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The field e_machine of an ELF header, and the architecture's name in a template.
ARCHITECTURES = {183: "arm64", 62: "x86_64"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("zip", type=pathlib.Path, help="the released zip")
    arguments.add_argument("--output", type=pathlib.Path, default=ROOT / "prebuilt.yaml", help="the template to write")
    arguments = arguments.parse_args()
    artifact = arguments.zip.resolve()
    arguments.output.write_text(prebuilt((ROOT / "template.yaml").read_text(), artifact, architecture(artifact)))
    print(f"{arguments.output} deploys {artifact} to {architecture(artifact)}.")


def architecture(artifact):
    """The architecture of the program in the zip."""
    try:
        with zipfile.ZipFile(artifact) as archive:
            header = archive.open("bootstrap").read(20)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{artifact} is not a zip with the program bootstrap: {error}")
    machine = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or machine not in ARCHITECTURES:
        sys.exit(f"bootstrap in {artifact} is not a program for Linux on {' or '.join(ARCHITECTURES.values())}.")
    return ARCHITECTURES[machine]


def prebuilt(template, artifact, architecture):
    """The template's text for the artifact. Text, since a YAML library would lose comments and short forms."""
    template = replaced(r"^    CodeUri: functions$", f"    CodeUri: '{str(artifact).replace(chr(39), chr(39) * 2)}'", template)
    template = replaced(r"^    Architectures: \[arm64\]$", f"    Architectures: [{architecture}]", template)
    template = re.sub(r"^    Metadata: \{ BuildMethod: .*\}\n", "", template, flags=re.MULTILINE)
    if "BuildMethod" in template:
        sys.exit("template.yaml has a BuildMethod that this program does not know.")
    return template


def replaced(pattern, line, template):
    template, count = re.subn(pattern, lambda _: line, template, flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"template.yaml has {count} lines like {pattern} instead of one.")
    return template


if __name__ == "__main__":
    main()
