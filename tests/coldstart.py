"""Measures cold starts: of functions, and of a function that does nothing as the floor.

Serves Lambda's Runtime API to the release build of `bootstrap`, ten times for each function that has a sample event in events/, and prints
medians: the time from the start of the process to its first request for an event (init), the time for the first event, and the
peak of memory. DynamoDB is a laptop cloud, over plain HTTP and over TLS.

    tests/coldstart.py [function …]

Needs openssl for a certificate. Builds the programs first.
"""

import http.server
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = 10
PORT = 8200


def main():
    subprocess.run(["cargo", "build", "--locked", "--bin", "confab"], cwd=ROOT, check=True)
    build = ["cargo", "build", "--release", "--locked", "--bin", "bootstrap", "--example", "echo"]
    subprocess.run(build, cwd=ROOT / "functions", check=True)
    confab = [ROOT / "target/debug/confab", "--port", str(PORT), "--no-web"]
    exports = subprocess.run([*confab, "--env"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in exports.splitlines())
    functions = sys.argv[1:] or sorted(path.stem for path in (ROOT / "events").glob("*.json"))
    with tempfile.TemporaryDirectory() as folder:
        # The TLS proxy has this host name, and requests are signed for it.
        cloud = subprocess.Popen([*confab, "--host", "localhost"], stdout=subprocess.DEVNULL)
        try:
            wait_for(PORT)
            certificate = make_certificate(folder)
            over_tls = {
                **environment,
                "AWS_ENDPOINT_URL_DYNAMODB": f"https://localhost:{tls_proxy(certificate, PORT + 1)}",
                "SSL_CERT_FILE": str(certificate[0]),
            }
            echo, bootstrap = ROOT / "target/release/examples/echo", ROOT / "target/release/bootstrap"
            print(f"{'function':16} {'zip':>10} {'init':>9} {'first event':>12} {'over TLS':>9} {'memory':>9}")
            floor = measure(echo, "echo", b"{}", environment)
            report("(nothing)", zipped(echo, folder), floor, None, None)
            for name in functions:
                event = (ROOT / "events" / f"{name}.json").read_bytes()
                plain, tls = measure(bootstrap, name, event, environment), measure(bootstrap, name, event, over_tls)
                report(name, zipped(bootstrap, folder), plain, tls, floor)
        finally:
            cloud.terminate()
            cloud.wait()


def report(name, size, plain, tls, floor):
    (init, first, memory), over_tls = plain, f"{tls[1]:6.1f} ms" if tls else ""
    ratio = f"{init / floor[0]:5.2f} × the floor" if floor else ""
    print(f"{name:16} {size:10,} {init:6.1f} ms {first:9.1f} ms {over_tls:>9} {memory:5.1f} MiB {ratio}", flush=True)


def measure(program, handler, event, environment):
    runs = [run(program, handler, event, environment) for _ in range(RUNS)]
    return tuple(statistics.median(column) for column in zip(*runs))


def run(program, handler, event, environment):
    """Starts a process and sends it one event. Returns both durations in milliseconds and the memory in MiB."""
    api = RuntimeApi(event)
    variables = {
        **environment,
        "_HANDLER": handler,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}",
        "AWS_LAMBDA_FUNCTION_NAME": handler,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "RUST_LOG": "error",
        "PATH": os.environ["PATH"],
    }
    started = time.perf_counter()
    process = subprocess.Popen([program], env=variables, stdout=subprocess.DEVNULL)
    try:
        if not api.answered.wait(30):
            raise TimeoutError(f"{handler} did not respond")
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return (api.asked - started) * 1000, (api.answered_at - api.given) * 1000, peak / 1024
    finally:
        process.kill()
        process.wait()
        api.server.shutdown()
        api.server.server_close()


class RuntimeApi:
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, for one event."""

    def __init__(self, event):
        self.asked = self.given = self.answered_at = None
        self.answered = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                now = time.perf_counter()
                if api.asked is not None:
                    time.sleep(60)
                    return
                api.asked = now
                deadline = int((time.time() + 30) * 1000)
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)
                api.given = time.perf_counter()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = self.read_chunks()
                if not self.path.endswith("/response"):
                    print(self.path, body, file=sys.stderr)
                api.answered_at = time.perf_counter()
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                api.answered.set()

            def read_chunks(self):
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """The process is killed while it waits for its second event."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # Closing must not wait for the pending request.
        self.server.block_on_close = False
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


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
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(client):
        try:
            # Otherwise steps of the handshake wait 40 ms for delayed acknowledgements.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = context.wrap_socket(client, server_side=True)
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", target))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=copy, args=(server, client), daemon=True).start()
        copy(client, server)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def zipped(program, folder):
    path = pathlib.Path(folder) / "artifact.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(program, "bootstrap")
    return path.stat().st_size


def wait_for(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main()
