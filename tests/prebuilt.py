"""Tests deploy/prebuilt.py: the template that it writes differs from template.yaml only in the code."""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

from transforms import expanded

ROOT = pathlib.Path(__file__).resolve().parent.parent
MACHINES = {"arm64": 183, "x86_64": 62}


def main():
    with tempfile.TemporaryDirectory(prefix="it's a folder ") as folder:
        folder = pathlib.Path(folder).resolve()
        for architecture, machine in MACHINES.items():
            check_template(folder, architecture, machine)
        check_rejection(folder)
    print("The prebuilt templates are right.")


def check_template(folder, architecture, machine):
    artifact = zipped(folder / f"{architecture}.zip", program(machine))
    done = prebuilt(artifact, folder)
    assert done.returncode == 0, done.stderr
    actual, expected = expanded(folder / "out.yaml"), expanded(ROOT / "template.yaml")
    assert any("Metadata" in resource for resource in expected["Resources"].values())
    for resource in expected["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            del resource["Metadata"]
    expected["Globals"]["Function"] |= {"CodeUri": str(artifact), "Architectures": [architecture]}
    assert actual == expected, f"The template for {architecture} differs."


def check_rejection(folder):
    (folder / "text.zip").write_text("no zip")
    not_programs = [folder / "text.zip", folder / "missing.zip", zipped(folder / "script.zip", b"#!/bin/sh\n"), zipped(folder / "riscv.zip", program(243))]
    for artifact in not_programs:
        done = prebuilt(artifact, folder)
        assert done.returncode == 1 and str(artifact) in done.stderr and "Traceback" not in done.stderr, done.stderr


def program(machine):
    """The header of a program for Linux."""
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(44)


def zipped(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bootstrap", content)
    return path


def prebuilt(artifact, folder):
    command = [sys.executable, ROOT / "deploy/prebuilt.py", artifact, "--output", folder / "out.yaml"]
    return subprocess.run(command, capture_output=True, text=True)


if __name__ == "__main__":
    main()
