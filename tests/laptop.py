"""Runs a separate laptop cloud for a test."""

import contextlib
import itertools
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def program(given, build):
    """The program to run: `given`, or the debug build, which is built first if `build` is set."""
    if not given and build:
        subprocess.run(["cargo", "build", "--locked", "--bins", "--tests"], cwd=ROOT, check=True)
    return (given or ROOT / "target/debug/confab").resolve()


@contextlib.contextmanager
def running(confab, template, parameters=(), log=None, options=()):
    """Runs confab, and yields its port."""
    port = free_ports()
    command = [confab, "--port", str(port), "--template", template, "--no-web", *options]
    command += itertools.chain.from_iterable(("--parameter", parameter) for parameter in parameters)
    with open(log, "w") if log else contextlib.nullcontext(subprocess.DEVNULL) as output:
        cloud = subprocess.Popen(command, stdout=output)
        try:
            wait_for(port, cloud)
            yield port
            if cloud.poll() is not None:
                sys.exit(f"confab exited: {cloud.returncode}")
        finally:
            cloud.terminate()
            cloud.wait()


def free_ports():
    """The first of four consecutive free ports."""
    while True:
        with contextlib.ExitStack() as listeners:
            listener = listeners.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            try:
                for other in range(port + 1, port + 4):
                    listeners.enter_context(socket.socket()).bind(("127.0.0.1", other))
            except (OSError, OverflowError):
                continue
            return port


def wait_for(port, cloud):
    deadline = time.monotonic() + 30
    while cloud.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("confab did not start.")
