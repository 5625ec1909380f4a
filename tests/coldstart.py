"""Measures cold starts: of functions, and of a function that does nothing as the floor.

Serves Lambda's Runtime API to the release build of `bootstrap`, ten times for each function that has a sample event in events/, and prints
medians: the time from the start of the process to its first request for an event (init), the time for the first event, and the
peak of memory. DynamoDB is a laptop cloud, over plain HTTP and over TLS.

    tests/coldstart.py [function …]

Needs openssl for a certificate. Builds the programs first.
"""

import pathlib
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

from runtime_api import BOOTSTRAP, ECHO, ROOT, Function, build, laptop_cloud, proxy

RUNS = 10
PORT = 8200


def main():
    confab = build("dev")
    functions = sys.argv[1:] or sorted(path.stem for path in (ROOT / "events").glob("*.json"))
    # The TLS proxy has this host name, and requests are signed for it.
    with tempfile.TemporaryDirectory() as folder, laptop_cloud(confab, PORT, "--host", "localhost") as environment:
        environment["RUST_LOG"] = "error"
        certificate = make_certificate(folder)
        over_tls = {
            **environment,
            "AWS_ENDPOINT_URL_DYNAMODB": f"https://localhost:{tls_proxy(certificate, PORT + 1)}",
            "SSL_CERT_FILE": str(certificate[0]),
        }
        print(f"{'function':16} {'zip':>10} {'init':>9} {'first event':>12} {'over TLS':>9} {'memory':>9}")
        floor = measure(ECHO, "echo", b"{}", environment)
        report("(nothing)", zipped(ECHO, folder), floor, None, None)
        for name in functions:
            event = (ROOT / "events" / f"{name}.json").read_bytes()
            plain, tls = measure(BOOTSTRAP, name, event, environment), measure(BOOTSTRAP, name, event, over_tls)
            report(name, zipped(BOOTSTRAP, folder), plain, tls, floor)


def report(name, size, plain, tls, floor):
    (init, first, memory), over_tls = plain, f"{tls[1]:6.1f} ms" if tls else ""
    ratio = f"{init / floor[0]:5.2f} × the floor" if floor else ""
    print(f"{name:16} {size:10,} {init:6.1f} ms {first:9.1f} ms {over_tls:>9} {memory:5.1f} MiB {ratio}", flush=True)


def measure(program, handler, event, environment):
    runs = [run(program, handler, event, environment) for _ in range(RUNS)]
    return tuple(statistics.median(column) for column in zip(*runs))


def run(program, handler, event, environment):
    """Starts a process and sends it one event. Returns both durations in milliseconds and the memory in MiB."""
    with Function(program, handler, environment) as function:
        init = function.wait_for_init()
        started = time.perf_counter()
        function.invoke(event)
        return init, (time.perf_counter() - started) * 1000, function.peak_memory()


def make_certificate(folder):
    certificate, key = pathlib.Path(folder) / "certificate.pem", pathlib.Path(folder) / "key.pem"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:false"]
    command = ["openssl", "req", "-x509", *options, *extensions, "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def tls_proxy(certificate, target):
    """Forwards TLS connections to a plain-text port, and returns its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return proxy(target, wrap=lambda client: context.wrap_socket(client, server_side=True))


def zipped(program, folder):
    path = pathlib.Path(folder) / "artifact.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(program, "bootstrap")
    return path.stat().st_size


if __name__ == "__main__":
    main()
