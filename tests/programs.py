"""Runs the programs in docs/examples and the shell snippets in docs/programs.md against a laptop cloud, and checks their output
and their effects. Needs the packages in tests/requirements.txt, which include the AWS CLI (either version works).

    tests/programs.py                       builds confab and runs them against it
    tests/programs.py --no-build            uses target/debug/confab
    tests/programs.py path/to/confab        uses that program
    tests/programs.py --csharp              also the C# program, which needs the .NET SDK
"""

import argparse
import contextlib
import http.server
import importlib.util
import io
import itertools
import json
import os
import pathlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import boto3
import laptop
from websockets.sync.client import connect

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs/examples"

# In seconds. An event that a listener had received when it ended is delivered again after 30.
TIMEOUT = 60

PASSWORD = "mypassword"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("confab", nargs="?", type=pathlib.Path, help="the program to test with")
    arguments.add_argument("--no-build", action="store_true", help="do not build it first")
    arguments.add_argument("--template", type=pathlib.Path, default=ROOT / "template.yaml")
    arguments.add_argument("--csharp", action="store_true", help="run the C# program, too")
    arguments.add_argument("--log", type=pathlib.Path, help="where confab's log goes")
    arguments = arguments.parse_args()

    confab = laptop.program(arguments.confab, not arguments.no_build)
    started = time.monotonic()
    with laptop.running(confab, arguments.template, log=arguments.log) as port, tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment(confab, arguments.template, port))
        # The AWS CLI's version 2 would open a pager.
        os.environ["AWS_PAGER"] = ""
        world = World(port)
        listeners = {
            "listen.py": ([sys.executable, EXAMPLES / "listen.py"], lambda policy: options(policy)),
            "listen.sh": ([EXAMPLES / "listen.sh"], lambda policy: [json.dumps(policy)]),
        }
        publishers = {
            "publish.py": lambda uri, members: [sys.executable, EXAMPLES / "publish.py", uri, json.dumps(members)],
            "publish.sh": lambda uri, members: [EXAMPLES / "publish.sh", uri, json.dumps(members)[1:-1]],
        }
        if arguments.csharp:
            program = build_csharp(folder)
            listeners["csharp"] = ([*program, "listen"], lambda policy: [json.dumps(policy)])
            publishers["csharp"] = lambda uri, members: [*program, "publish", uri, json.dumps(members)]
        for name, (command, arguments_for) in listeners.items():
            check_listener(world, name, command, arguments_for)
        for name, command_for in publishers.items():
            check_publisher(world, name, command_for)
        check_repeats_are_published_once(world)
        check_repeats_are_printed_once(world)
        check_forwarding(world)
        check_document(world)
    print(f"All programs passed in {time.monotonic() - started:.0f} s.")


def build_csharp(folder):
    """Builds the C# program outside the repository, and returns its command."""
    command = ["dotnet", "build", EXAMPLES / "csharp", "--output", folder, f"-p:BaseIntermediateOutputPath={folder}/obj/"]
    subprocess.run(command, check=True)
    return ["dotnet", f"{folder}/Confab.Exchange.dll"]


def options(policy):
    """A filter policy as options of listen.py."""
    return list(itertools.chain.from_iterable((f"--{name}", value) for name, values in policy.items() for value in values))


# --- Checks --------------------------------------------------------------------------------------------------------------


def check_listener(world, name, command, arguments_for):
    """A filter selects the right events; a second run uses the same queue; `--remove` removes everything."""
    uri, other = world.start_chat(), world.start_chat()
    subscriptions = len(world.subscriptions())

    with Listener(command, arguments_for({"type": ["message"]})) as listener:
        # Without the filter, this would be received first, as events of a chat are in order.
        world.join(uri)
        first = world.post(uri, 'Žofie says: "Hello!" \\o/ 😀')
        received = listener.next()
        expect(name, received["message"], first["message"])
        expect(name, (received["type"], received["uri"], received["id"], received["user"]["username"]), ("message", uri, first["id"], "danidee"))
        world.post(other, "In another chat")
        expect(name, listener.next()["uri"], other)
        # A message that was not deleted would be delivered again.
        world.wait_until_empty(listener.queue)
    expect(name, len(world.subscriptions()), subscriptions + 1)

    # Without a listener, the event is not lost.
    world.post(uri, "Anybody there?")
    with Listener(command, arguments_for({"uri": [uri]})) as listener:
        expect(name, listener.next()["message"], "Anybody there?")
        world.post(other, "Not for this one")
        world.post(uri, "For this one")
        expect(name, listener.next()["message"], "For this one")
        world.wait_until_empty(listener.queue)
    expect(name, listener.printed(), [])
    expect(name, len(world.subscriptions()), subscriptions + 1)
    expect(name, len(world.queues(listener.queue)), 1)

    # All events of all chats.
    with Listener(command, []) as listener:
        world.leave(uri)
        expect(name, listener.next()["type"], "left")
        world.publish(other, {"type": "weather", "degrees": 21.5})
        expect(name, listener.next(), {"uri": other, "type": "weather", "degrees": 21.5})
        # A type of any value must not end the listener.
        world.publish(other, {"type": ["message"]})
        world.publish(other, {"type": "message"})
        expect(name, [listener.next().get("type"), listener.next().get("type")], [["message"], "message"])
        # Processed messages are deleted: none is waiting or in flight.
        world.wait_until_empty(listener.queue)

    run([*command, "--remove"])
    expect(name, len(world.subscriptions()), subscriptions)
    expect(name, world.queues(listener.queue), [])
    print(f"{name} receives the events of its filter once, across restarts, and can be removed.", flush=True)


def check_publisher(world, name, command_for):
    uri = world.start_chat()
    members = {"type": "weather", "degrees": 21.5, "place": 'Brno "střed" 😀'}
    with world.socket(uri) as chat_socket:
        run(command_for(uri, members))
        expect(name, next_object(chat_socket), members | {"uri": uri})
        world.post(uri, "And then")
        expect(name, next_object(chat_socket)["message"], "And then")
    expect(name, [each["message"] for each in world.history(uri)], ["And then"])
    print(f"{name} reaches a socket and is not in the history.", flush=True)


def check_repeats_are_published_once(world):
    uri = world.start_chat()
    with world.socket(uri) as chat_socket:
        for once, number in (("a", 1), ("a", 2), ("b", 3)):
            run([sys.executable, EXAMPLES / "publish.py", "--once", once, uri, json.dumps({"type": "tick", "number": number})])
        expect("publish.py --once", [next_object(chat_socket)["number"] for _ in range(2)], [1, 3])
    print("publish.py --once publishes once.", flush=True)


def check_repeats_are_printed_once(world):
    uri = world.start_chat()
    command = [sys.executable, EXAMPLES / "listen.py"]
    with Listener(command, ["--uri", uri]) as listener:
        world.post(uri, "Once")
        once = listener.next()
        # As after a late relay: the same entry with another deduplication id.
        world.publish(uri, once)
        world.publish(uri, {"type": "tick", "id": once["id"]})
        world.publish(uri, {"type": "tick", "id": once["id"]})
        world.post(uri, "Twice")
        expect("listen.py", [listener.next() for _ in range(2)], [{"uri": uri, "type": "tick", "id": once["id"]}] * 2)
        expect("listen.py", listener.next()["message"], "Twice")
    run([*command, "--remove"])
    print("listen.py drops repeated entries and nothing else.", flush=True)


def check_forwarding(world):
    """The Lambda function's handler, called with messages of a queue as Lambda would, posts them in order and stops at a failure."""
    uri = world.start_chat()
    messages = world.through_a_queue(uri, ["one", "two", "three"])
    records = [{"messageId": each["MessageId"], "body": each["Body"]} for each in messages]
    handler = load(EXAMPLES / "forward.py").handler
    # It reports events that were not accepted, as expected here.
    with contextlib.redirect_stderr(io.StringIO()), Endpoint() as endpoint:
        os.environ["ENDPOINT"] = endpoint.url
        expect("forward.py", handler({"Records": records}, None), {"batchItemFailures": []})
        expect("forward.py", [each["message"] for each in endpoint.accepted], ["one", "two", "three"])
        endpoint.accepted.clear()
        endpoint.rejected = "two"
        failures = [each["itemIdentifier"] for each in handler({"Records": records}, None)["batchItemFailures"]]
        expect("forward.py", failures, [each["messageId"] for each in records[1:]])
        expect("forward.py", [each["message"] for each in endpoint.accepted], ["one"])
        endpoint.close()
        failures = [each["itemIdentifier"] for each in handler({"Records": records}, None)["batchItemFailures"]]
        expect("forward.py", failures, [each["messageId"] for each in records])
    print("forward.py posts events, and reports those to be delivered again.", flush=True)


def check_document(world):
    """The shell snippets in docs/programs.md."""
    uri = world.start_chat()
    os.environ["URI"] = uri
    pasted = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/programs.md").read_text(), re.DOTALL)
    publishing = [each for each in pasted if each.startswith("aws sns publish")]
    listening = [each for each in pasted if "aws sns subscribe" in each]
    expect("docs/programs.md", (len(publishing), len(listening)), (1, 1))
    with world.socket(uri) as chat_socket:
        run(["bash", "-euc", publishing[0]])
        expect("docs/programs.md", next_object(chat_socket), {"uri": uri, "type": "weather", "degrees": 21.5})
    bind, receive = re.split(r"^(?=aws sqs receive-message)", listening[0], flags=re.MULTILINE)
    output = run(["bash", "-euc", f'{bind}\necho "$QUEUE"'])
    queue_url = output.splitlines()[-1]
    world.join(uri)
    world.post(uri, "Received by the queue")
    received = json.loads(run(["bash", "-euc", f"QUEUE={shlex.quote(queue_url)}\n{receive}"]))
    expect("docs/programs.md", json.loads(received["Messages"][0]["Body"])["message"], "Received by the queue")
    print("The snippets in docs/programs.md work.", flush=True)


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")


# --- The programs --------------------------------------------------------------------------------------------------------


def run(command):
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


class Listener:
    """A program that listens, once it has subscribed its queue."""

    def __init__(self, command, arguments):
        self.command = [*command, *arguments]
        self.lines = queue.Queue()

    def __enter__(self):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A shell script's child, the AWS CLI, must end with it.
        self.process = subprocess.Popen(self.command, **pipes, start_new_session=True)
        try:
            ready = read_line(self.process.stderr)
            named = re.fullmatch(r"Listening with the queue (\S+\.fifo); --remove removes it\.\n", ready)
            if not named:
                sys.exit(f"{self.command} printed: {ready}{self.process.stderr.read() if self.process.poll() is not None else ''}")
            self.queue = named[1]
        except BaseException:
            self.end()
            raise
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        return self

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def next(self):
        """The next object that it prints."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                return json.loads(self.lines.get(timeout=0.5))
            if self.process.poll() is not None and self.lines.empty():
                sys.exit(f"{self.command} ended with {self.process.returncode}: {self.process.stderr.read()}")
        sys.exit(f"{self.command} printed nothing.")

    def printed(self):
        """The remaining output."""
        return [self.lines.get() for _ in range(self.lines.qsize())]

    def __exit__(self, *_):
        self.end()
        self.reader.join()

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def read_line(stream):
    """A line of a stream, or nothing after the time-out."""
    lines = queue.Queue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=TIMEOUT)
    except queue.Empty:
        return ""


def next_object(connection):
    """The next object from a socket. Presence and `added` are ignored, as they may arrive at any time."""
    while True:
        what = json.loads(connection.recv(timeout=TIMEOUT))
        if what["type"] not in ("online", "offline", "added"):
            return what


def load(path):
    # No bytecode cache next to the examples.
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Endpoint:
    """The endpoint of a webhook: accepts every event except the message that is to be rejected."""

    def __init__(self):
        self.accepted = []
        self.rejected = None
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_refused = endpoint.rejected is not None and body["message"] == endpoint.rejected
                if not is_refused:
                    endpoint.accepted.append(body)
                self.send_response(503 if is_refused else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.close()
        self.thread.join()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# --- The server ----------------------------------------------------------------------------------------------------------


def environment(confab, template, port):
    """The variables that `confab --env` prints."""
    lines = subprocess.run([confab, "--env", "--port", str(port), "--template", template], check=True, capture_output=True, text=True).stdout
    return dict(word.split("=", 1) for line in lines.splitlines() for word in shlex.split(line.removeprefix("export ")))


class World:
    """Two users and their chats, as a source of events for the programs."""

    def __init__(self, port):
        self.url, self.websocket_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws"
        self.sqs, self.sns, self.topic = boto3.client("sqs"), boto3.client("sns"), os.environ["TOPIC_ARN"]
        self.numbers = itertools.count(1)
        for name in ("danidee", "daniel"):
            self.call("POST", "/auth/users/create/", body={"username": name, "password": PASSWORD})
        self.token, self.guest = self.log_in("danidee"), self.log_in("daniel")

    def log_in(self, name):
        return self.call("POST", "/auth/token/create/", body={"username": name, "password": PASSWORD})["auth_token"]

    def start_chat(self):
        return self.call("POST", "/api/chats/", self.token)["uri"]

    def join(self, uri):
        self.call("PATCH", f"/api/chats/{uri}/", self.guest, {"username": "daniel"})

    def leave(self, uri):
        self.call("DELETE", f"/api/chats/{uri}/members/daniel/", self.guest)

    def post(self, uri, message):
        return self.call("POST", f"/api/chats/{uri}/messages/", self.token, {"message": message})

    def history(self, uri):
        return self.call("GET", f"/api/chats/{uri}/messages/", self.token)["messages"]

    def socket(self, uri):
        return connect(f"{self.websocket_url}?uri={uri}", additional_headers={"Authorization": f"Token {self.token}"})

    def publish(self, uri, members):
        message = json.dumps({"uri": uri} | members)
        self.sns.publish(TopicArn=self.topic, MessageGroupId=uri, MessageDeduplicationId=f"test-{next(self.numbers)}", Message=message)

    def subscriptions(self):
        return self.sns.list_subscriptions_by_topic(TopicArn=self.topic)["Subscriptions"]

    def queues(self, name):
        return self.sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])

    def wait_until_empty(self, name):
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        queue_url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)["Attributes"]
            if all(attributes[count] == "0" for count in counts):
                return
            time.sleep(0.1)
        sys.exit(f"{name} is not empty: {attributes}")

    def through_a_queue(self, uri, texts):
        """Posts messages, and returns them as received from a queue."""
        queue_url = self.sqs.create_queue(QueueName="forward.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = {"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"uri": [uri]})}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
        for text in texts:
            self.post(uri, text)
        messages = []
        deadline = time.monotonic() + TIMEOUT
        while len(messages) < len(texts) and time.monotonic() < deadline:
            for message in self.sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=5).get("Messages", []):
                messages.append(message)
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def call(self, method, path, token=None, body=None):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or "null")


if __name__ == "__main__":
    main()
