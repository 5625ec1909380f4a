"""Plays Lambda to the release build of `bootstrap`, and a laptop cloud to its AWS: for coldstart.py and function_cpu.py."""

import contextlib
import http.server
import json
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BOOTSTRAP, ECHO = TARGET / "release/bootstrap", TARGET / "release/examples/echo"


def build(profile):
    """Builds the functions as they are deployed, and the laptop cloud with the profile. Returns the latter's path."""
    subprocess.run(["cargo", "build", "--profile", profile, "--locked", "--bin", "confab"], cwd=ROOT, check=True)
    functions = ["cargo", "build", "--release", "--locked", "--bin", "bootstrap", "--example", "echo"]
    subprocess.run(functions, cwd=ROOT / "functions", check=True)
    return TARGET / {"dev": "debug", "bench": "release"}.get(profile, profile) / "confab"


@contextlib.contextmanager
def laptop_cloud(program, port, *arguments):
    """Runs a laptop cloud. Its value is the environment of functions outside it."""
    command = [program, "--port", str(port), "--no-web", *arguments]
    exports = subprocess.run([*command, "--env"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in exports.splitlines())
    cloud = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield environment
    finally:
        cloud.terminate()
        cloud.wait()


class QuickHandler(http.server.BaseHTTPRequestHandler):
    """Keeps connections open, answers at once, and logs nothing."""

    protocol_version = "HTTP/1.1"
    # Otherwise responses wait 40 ms for delayed acknowledgements.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass


class Function:
    """A process of a function, with a separate Runtime API
    (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html)."""

    def __init__(self, program, handler, environment):
        self.handler = handler
        self._events, self._responses = queue.SimpleQueue(), queue.SimpleQueue()
        self._asked = threading.Event()
        self._is_alone = threading.Lock()
        self._server = self._serve()
        variables = {
            **environment,
            "_HANDLER": handler,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": handler,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "PATH": os.environ["PATH"],
        }
        self._started = time.perf_counter()
        self._process = subprocess.Popen([program], env=variables, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()

    def wait_for_init(self):
        """Milliseconds from the start of the process to its first request for an event."""
        if not self._asked.wait(30):
            raise TimeoutError(f"{self.handler} did not start")
        return (self._asked_at - self._started) * 1000

    def invoke(self, event):
        """The response to an event, as bytes."""
        with self._is_alone:
            self._events.put(event)
            return self._responses.get(timeout=30)

    def peak_memory(self):
        """In MiB."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def cpu(self):
        """Milliseconds of user and system time so far. The kernel counts their sum exactly, in steps of 10 ms."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def profile(self, path):
        """Profiles the process with `perf`, until it ends, into a file."""
        command = ["perf", "record", "-q", "-F", "2999", "-g", "--call-graph", "fp", "-p", str(self._process.pid), "-o", path]
        return subprocess.Popen(command)

    def _serve(self):
        function = self

        class Handler(QuickHandler):
            def do_GET(self):
                function._asked_at = time.perf_counter()
                function._asked.set()
                event = function._events.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 30) * 1000)))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self):
                body = read_body(self)
                if not self.path.endswith("/response"):
                    print(function.handler, self.path, body, file=sys.stderr)
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()
                function._responses.put(body)

        return serve(Handler)


def serve(handler):
    """Serves HTTP on a free port, in threads."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        # Closing must not wait for the pending request.
        block_on_close = False

        def handle_error(self, *_):
            """A process is killed while it waits for its next event."""

    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def read_body(request):
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0) or 0))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def proxy(target, wrap=None, count=None):
    """Forwards connections to a port, and returns its own port. `wrap` gets each client's socket and returns another, and
    `count` gets what is forwarded: the data and whether it comes from the client."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, sink, is_from_client):
        try:
            while data := source.recv(65536):
                if count:
                    count(data, is_from_client)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def forward(client):
        try:
            # Otherwise steps of the handshake wait 40 ms for delayed acknowledgements.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = wrap(client) if wrap else client
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", target))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=copy, args=(server, client, False), daemon=True).start()
        copy(client, server, True)

    def accept():
        while True:
            threading.Thread(target=forward, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


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


def encoded(value):
    return json.dumps(value).encode()
