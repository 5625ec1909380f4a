"""Measures the CPU time of warm functions, and of a request that is refused at once as the floor.

Serves Lambda's Runtime API to the release build of `bootstrap`, a process for each function, with a laptop cloud as AWS, and
prints per invocation: CPU time (user and system), calls of AWS, and bytes sent to and received from AWS.

    tests/function_cpu.py [--invocations N] [--perf] [case …]

With --perf, each case is profiled too, with `perf record`, into perf-<case>.data. Builds the programs first, unless NO_BUILD is set.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import socket
import threading
import time

from runtime_api import BOOTSTRAP, TARGET, Function, QuickHandler, build, encoded, laptop_cloud, proxy, read_body, serve

PORT = 8300
SERVICES = {"DYNAMODB": PORT + 1, "SNS": PORT + 2, "SQS": PORT + 3}
WITHOUT_LIMITS = ["PostsPerMinute=0", "SocketsPerUser=0", "AttemptsPerAddress=0"]
TEXT = "Shall we meet at the station at six, or is that too early for you?"
FLOOR = "fallback"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--invocations", type=int, default=1000)
    parser.add_argument("--perf", action="store_true")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    confab = TARGET / "release/confab" if "NO_BUILD" in os.environ else build("bench")
    with Lambda() as functions:
        parameters = [part for parameter in WITHOUT_LIMITS for part in ("--parameter", parameter)]
        # The counting proxies have this host name, and requests are signed for it.
        hosts = ["--host", "localhost"]
        with laptop_cloud(confab, PORT, *hosts, "--lambda", functions.url, *parameters) as environment:
            functions.environment = environment
            cases = Chat(functions).cases()
            print(f"{'case':22} {'CPU':>9} {'calls':>6} {'sent':>9} {'received':>9}")
            for name in [FLOOR, *(arguments.cases or [name for name in cases if name != FLOOR])]:
                measure(functions, name, *cases[name], arguments)


def measure(functions, name, handler, events, arguments):
    # The first pass counts calls and bytes, and warms up the cloud.
    with Counter(functions.environment) as counter, Function(BOOTSTRAP, handler, counter.environment) as function:
        batch = events()
        run(name, function, batch, 10)
        counter.reset()
        run(name, function, batch, 20)
        calls, sent, received = (number / 20 for number in (counter.calls, counter.sent, counter.received))
    with Function(BOOTSTRAP, handler, functions.environment) as function:
        batch = events()
        run(name, function, batch, 50)
        profile = function.profile(f"perf-{name}.data") if arguments.perf else None
        before = function.cpu()
        run(name, function, batch, arguments.invocations)
        cpu = (function.cpu() - before) / arguments.invocations
        if profile:
            profile.terminate()
            profile.wait()
    print(f"{name:22} {cpu:6.3f} ms {calls:6.1f} {sent:7,.0f} B {received:7,.0f} B", flush=True)


def run(name, function, events, number):
    check(name, [function.invoke(event) for event in itertools.islice(events, number)])


def check(name, responses):
    for response in map(json.loads, responses):
        if response.get("batchItemFailures") or response.get("statusCode", 200) >= (500 if name == FLOOR else 300):
            raise RuntimeError(f"{name}: {response}")
        if '"error"' in response.get("body", ""):
            raise RuntimeError(f"{name}: {response}")


class Counter:
    """Counts the requests to the cloud's services, and their bytes, in proxies before them."""

    def __init__(self, environment):
        self.calls = self.sent = self.received = 0
        self.environment = dict(environment)
        for service, port in SERVICES.items():
            self.environment[f"AWS_ENDPOINT_URL_{service}"] = f"http://localhost:{proxy(port, count=self.count)}"
        # Only requests to `@connections` go to the gateway.
        gateway = f"localhost:{proxy(PORT, count=self.count)}"
        endpoint = environment["WEBSOCKET_ENDPOINT"]
        self.environment["WEBSOCKET_ENDPOINT"] = endpoint.replace(f"127.0.0.1:{PORT}", gateway)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def reset(self):
        self.calls = self.sent = self.received = 0

    def count(self, data, is_from_client):
        if is_from_client:
            self.calls += data.count(b" HTTP/1.1\r\n")
            self.sent += len(data)
        else:
            self.received += len(data)


class Lambda:
    """Lambda's Invoke API for the laptop cloud. It runs the functions of the APIs, and keeps what background functions would
    get, to measure them with."""

    BACKGROUND = {"fanout", "deliver", "relay", "reconcile"}

    def __init__(self):
        self.environment = None
        self.kept = {name: [] for name in self.BACKGROUND}
        self.connection_ids = []
        self._running = {}
        self._server = serve(self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for function in self._running.values():
            function.__exit__()

    def invoke(self, name, event):
        """The response of a function that is started if need be."""
        if name in self.BACKGROUND:
            self.kept[name] += json.loads(event)["Records"]
            return encoded({"batchItemFailures": []})
        if name not in self._running:
            self._running[name] = Function(BOOTSTRAP, name, self.environment)
        return self._running[name].invoke(event)

    def take(self, name, count):
        """The records that came for a background function: `count` of them, or an error after ten seconds."""
        for _ in range(1000):
            if len(self.kept[name]) >= count:
                taken, self.kept[name] = self.kept[name], []
                return taken
            time.sleep(0.01)
        raise TimeoutError(f"{name} got {len(self.kept[name])} records instead of {count}")

    def _handler(functions):
        class Handler(QuickHandler):
            def do_POST(self):
                name, event = self.path.split("/")[-2], read_body(self)
                request = json.loads(event).get("requestContext", {})
                if request.get("eventType") == "CONNECT":
                    functions.connection_ids.append(request["connectionId"])
                response = functions.invoke(name, event)
                self.send_response(200)
                self.send_header("Content-Length", str(len(response)))
                self.end_headers()
                self.wfile.write(response)

        return Handler


class Chat:
    """A chat with one member, one subscribed socket and 200 messages, and events about it."""

    def __init__(self, functions):
        self.functions = functions
        account = {"username": "measured", "password": "correct horse battery staple"}
        self.call("register", "POST", "/auth/users/", account)
        self.token = self.call("login", "POST", "/auth/token/login/", account)["auth_token"]
        self.uri = self.call("create-chat", "POST", "/api/chats/", {})["uri"]
        self.connection_id = self.open_socket()
        self.functions.invoke("ws-message", self.frame({"action": "subscribe", "uri": self.uri}))
        self.post(200)

    def cases(self):
        """For each case the function and its events, without an end."""
        messages = f"/api/chats/{self.uri}/messages/"
        post = self.request("POST", messages, {"message": TEXT})
        return {
            FLOOR: ("fallback", lambda: itertools.repeat(self.request("GET", "/nothing/here/", is_anonymous=True))),
            "post-message": ("post-message", lambda: itertools.repeat(post)),
            "list-messages (100)": ("list-messages", lambda: itertools.repeat(self.request("GET", messages, query="limit=100"))),
            "list-chats": ("list-chats", lambda: itertools.repeat(self.request("GET", "/api/chats/"))),
            "fanout (1)": ("fanout", lambda: self.records("fanout", 1, 1)),
            "fanout (10)": ("fanout", lambda: self.records("fanout", 10, 1)),
            "relay (1)": ("relay", lambda: self.records("relay", 1, 100)),
            "relay (10)": ("relay", lambda: self.records("relay", 10, 100)),
            "ws-message (send)": ("ws-message", lambda: self.frames({"action": "send", "message": TEXT})),
            "ws-message (ping)": ("ws-message", lambda: self.frames({"action": "ping"})),
            "ws-message (subscribe)": ("ws-message", lambda: self.frames({"action": "subscribe"})),
        }

    def records(self, name, size, batches):
        """Batches of new messages for a background function, of which some are made ahead. For the fan-out they are made one
        by one, since it delivers all that it finds in the log."""
        while True:
            self.functions.kept[name].clear()
            self.post(batches * size)
            records = self.functions.take(name, batches * size)
            for place in range(0, batches * size, size):
                yield encoded({"Records": records[place : place + size]})

    def frames(self, frame):
        for key in itertools.count():
            yield self.frame({**frame, "uri": self.uri, **({"key": str(key) + os.urandom(4).hex()} if "message" in frame else {})})

    def frame(self, frame):
        event = json.loads(sample("ws-message"))
        event["requestContext"]["connectionId"] = self.connection_id
        event["body"] = json.dumps(frame)
        return encoded(event)

    def post(self, number):
        event = self.request("POST", f"/api/chats/{self.uri}/messages/", {"message": TEXT})
        check("post", [self.functions.invoke("post-message", event) for _ in range(number)])

    def call(self, name, *request):
        response = json.loads(self.functions.invoke(name, self.request(*request)))
        if response["statusCode"] >= 300:
            raise RuntimeError(f"{name}: {response}")
        return json.loads(response["body"])

    def request(self, method, path, body=None, query="", is_anonymous=False):
        """An event of the HTTP API."""
        event = json.loads(sample("post-message"))
        event |= {"rawPath": path, "rawQueryString": query, "pathParameters": {"uri": getattr(self, "uri", "")}}
        event["requestContext"]["http"] |= {"method": method, "path": path}
        del event["body"], event["headers"]["authorization"]
        if body is not None:
            event["body"] = json.dumps(body)
        if hasattr(self, "token") and not is_anonymous:
            event["headers"]["authorization"] = f"Token {self.token}"
        return encoded(event)

    def open_socket(self):
        """Opens a WebSocket, reads from it in a thread, and returns its connection's id."""
        client = socket.create_connection(("127.0.0.1", PORT))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws HTTP/1.1",
            f"Host: 127.0.0.1:{PORT}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Token {self.token}",
        ]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        status = client.recv(4096).split(b"\r\n")[0]
        if b" 101 " not in status:
            raise RuntimeError(status)

        def drain():
            while client.recv(65536):
                pass

        threading.Thread(target=drain, daemon=True).start()
        return self.functions.connection_ids[-1]


def sample(name):
    return (pathlib.Path(__file__).resolve().parent.parent / "events" / f"{name}.json").read_text()


if __name__ == "__main__":
    main()
