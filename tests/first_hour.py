"""Settles what AWS documents nowhere: each probe uses a deployment as a client does, and prints what it observed.
docs/first-hour-on-aws.md says what each result means. Needs the packages in tests/requirements.txt.

    tests/first_hour.py https://… wss://…             all probes
    tests/first_hour.py https://… wss://… slashes     one probe
    tests/first_hour.py --laptop                      against a separate laptop cloud with --like-aws
    tests/first_hour.py --laptop --document           also compares with the output in docs/first-hour-on-aws.md

The probe `reading` lasts as long as --minutes says.
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import re
import secrets
import sys
import time
import urllib.error
import urllib.request

import laptop
import websockets

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/first-hour-on-aws.md"
FRAME_BYTES = 32 * 1024
TIMEOUT = 60
# All users of the probes have one address, and do more than people do.
PARAMETERS = ["AttemptsPerAddress=0", "PostsPerMinute=0", "MarkersPerMinute=0", "SocketsPerUser=0"]


class Api:
    """The HTTP API."""

    def __init__(self, http, websocket):
        self.http, self.websocket = http.rstrip("/"), websocket.rstrip("/")

    def request(self, method, path, token=None, body=None):
        """The status, the headers and the JSON of a response. Redirections are not followed."""
        headers = {"Authorization": f"Token {token}"} if token else {}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.http + path, data, headers | {"Content-Type": "application/json"}, method=method)
        try:
            with OPENER.open(request, timeout=TIMEOUT) as response:
                return response.status, response.headers, parsed(response.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, parsed(error.read())

    def call(self, method, path, token=None, body=None):
        status, _, answer = self.request(method, path, token, body)
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {answer}")
        return answer

    def user(self):
        """A new user's token and name."""
        name, password = f"probe-{secrets.token_hex(6)}", secrets.token_urlsafe(12)
        self.call("POST", "/auth/users/create", body={"username": name, "password": password})
        return self.call("POST", "/auth/token/create", body={"username": name, "password": password})["auth_token"], name

    def chat(self, *members):
        """A new chat of these users (token, name), the first of whom owns it."""
        (owner, _), *others = members
        uri = self.call("POST", "/api/chats", owner)["uri"]
        for token, name in others:
            self.call("PATCH", f"/api/chats/{uri}", token, {"username": name})
        return uri

    def post(self, token, uri, message):
        return self.call("POST", f"/api/chats/{uri}/messages", token, {"message": message})["id"]

    def socket(self, token, uri=None):
        query = f"?uri={uri}" if uri else ""
        return websockets.connect(self.websocket + query, additional_headers={"Authorization": f"Token {token}"}, max_size=None)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


async def frames(socket, until, timeout=TIMEOUT):
    """The frames up to the first with an object for which `until` holds."""
    received = []
    async with asyncio.timeout(timeout):
        while True:
            frame = await socket.recv()
            received.append(frame)
            if any(until(json.loads(line)) for line in frame.splitlines()):
                return received


async def ask(socket, frame):
    """Sends a frame, and returns the first object with its `type` or an error."""
    await socket.send(json.dumps(frame))
    answers = {"subscribe": "subscribed", "unsubscribe": "unsubscribed", "send": "sent", "ping": "pong"}
    expected = {answers.get(frame["action"], "done"), "error"}
    received = await frames(socket, lambda line: line.get("type") in expected)
    return next(line for line in map(json.loads, received[-1].splitlines()) if line.get("type") in expected)


# --- Probes --------------------------------------------------------------------------------------------------------------


async def permissions(api, _):
    """B1: `dynamodb:LeadingKeys` in transactions. Each kind of request is made once."""
    owner, guest = api.user(), api.user()
    uri = api.chat(owner, guest)
    yield "register, log in, start a chat, join: 2xx"
    first = api.post(owner[0], uri, "Hello")
    requests = [
        ("edit", "PATCH", f"/messages/{first}", {"message": "Hello!"}),
        ("react", "PUT", f"/messages/{first}/reactions/%F0%9F%91%8D", None),
        ("read", "PUT", "/read", {"id": first}),
        ("history", "GET", "/messages", None),
        ("search", "GET", "/search?q=hello", None),
        ("export", "GET", "/export", None),
        ("members", "GET", "/members", None),
        ("hand over", "PATCH", "", {"owner": guest[1]}),
        ("leave", "DELETE", f"/members/{owner[1]}", None),
    ]
    for name, method, path, body in requests:
        yield f"{name}: {api.request(method, f'/api/chats/{uri}{path}', owner[0], body)[0]}"
    async with api.socket(guest[0]) as socket:
        for frame in ({"action": "subscribe", "after": 0}, {"action": "send", "message": "Hi"}, {"action": "delete", "id": first}):
            yield f"socket, {frame['action']}: {(await ask(socket, frame | {'uri': uri}))['type']}"
    yield f"log out: {api.request('POST', '/auth/token/logoutall', guest[0])[0]}"


async def slashes(api, _):
    """B4: whether a route matches a path with a trailing slash."""
    token, _ = api.user()
    for path in ("/auth/me", "/auth/me/"):
        status, headers, _ = api.request("GET", path, token)
        yield f"GET {path}: {status}" + (f" to {headers['Location']}" if status == 308 else "")


async def headers(api, _):
    """Which name `WWW-Authenticate` arrives under."""
    status, received, _ = api.request("GET", "/auth/me")
    names = sorted(name.lower() for name in received.keys() if "authenticate" in name.lower())
    yield f"GET /auth/me without a token: {status}, {', '.join(names)}"


async def responses(api, _):
    """Route responses: whether a frame is answered, and `typing` is not."""
    token, name = api.user()
    uri = api.chat((token, name))
    async with api.socket(token, uri) as socket:
        await socket.send(json.dumps({"action": "typing", "uri": uri}))
        yield f"typing, then ping: {(await ask(socket, {'action': 'ping'}))['type']}"
        await socket.send("not JSON")
        received = await frames(socket, lambda line: line.get("type") == "error")
        yield f"a frame that is not JSON: {json.loads(received[-1])['status']}"


async def large(api, _):
    """L10: answers and frames stay below 32 KB, and nothing closes the socket."""
    token, name = api.user()
    uri = api.chat((token, name))
    for kilobytes in (15, 60, 120):
        while history(api, token, uri) < kilobytes * 1024:
            api.post(token, uri, "x" * 1900)
        async with api.socket(token) as socket:
            await socket.send(json.dumps({"action": "subscribe", "uri": uri, "after": 0}))
            received = await frames(socket, lambda line: line.get("type") in ("subscribed", "error"))
            answer = json.loads(received[-1].splitlines()[0])
            size = max(len(frame.encode()) for frame in received)
            yield f"{kilobytes} KB behind: {answer['type']}, recovered {str(answer.get('recovered')).lower()}, largest frame {bounded(size)}"
            yield f"and a ping: {(await ask(socket, {'action': 'ping'}))['type']}"


def history(api, token, uri):
    return len(json.dumps(api.call("GET", f"/api/chats/{uri}/messages?limit=1000", token)))


def bounded(size):
    return "at most 32 KB" if size <= FRAME_BYTES else f"{size} bytes"


async def characters(api, _):
    """B2: characters that SQS does not take arrive all the same."""
    token, name = api.user()
    uri = api.chat((token, name))
    text = "\ufffe and \uffff and \u0085"
    async with api.socket(token, uri) as socket:
        await ask(socket, {"action": "ping"})
        number = api.post(token, uri, text)
        received = await frames(socket, lambda line: line.get("id") == number)
        line = next(line for line in map(json.loads, received[-1].splitlines()) if line.get("id") == number)
        yield f"posted and received: {'the same' if line['message'] == text else repr(line['message'])}"


async def throttling(api, arguments):
    """L7: whether calls of `@connections` count against the WebSocket stage: 1,500 frames a second for ten seconds."""
    token, name = api.user()
    uri = api.chat((token, name))
    sockets, posts = arguments.sockets, 50
    async with contextlib.AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(api.socket(token, uri)) for _ in range(sockets)]
        await asyncio.gather(*(ask(socket, {"action": "ping"}) for socket in listeners))
        last = None
        for number in range(posts):
            last = await asyncio.to_thread(api.post, token, uri, f"{number}")
            await asyncio.sleep(0.1)
        wait = (frames(socket, lambda line: line.get("id") == last) for socket in listeners)
        results = await asyncio.gather(*wait, return_exceptions=True)
        arrived = sum(not isinstance(result, BaseException) for result in results)
        yield f"sockets that received the last of {posts} messages: {arrived} of {sockets}"


async def subscriptions(api, _):
    """L2: 81 subscriptions at once, in one frame and in 81."""
    token, name = api.user()
    chats = [api.chat((token, name)) for _ in range(81)]
    async with api.socket(token) as socket:
        await socket.send(json.dumps({"action": "subscribe", "chats": [{"uri": uri, "after": 0} for uri in chats]}))
        received = await frames(socket, lambda line: line.get("type") in ("subscriptions", "error"))
        answer = json.loads(received[-1].splitlines()[0])
        failed = [chat for chat in answer.get("chats", [answer]) if chat["type"] != "subscribed"]
        yield f"one frame: {answer['type']}, {bounded(len(received[-1].encode()))}, failed {len(failed)}"
    async with api.socket(token) as socket:
        for uri in chats:
            await socket.send(json.dumps({"action": "subscribe", "uri": uri}))
        seen, errors = set(), []

        def done(line):
            if line.get("type") in ("subscribed", "error"):
                seen.add(line["uri"])
                errors.extend([line["status"]] if line["type"] == "error" else [])
            return len(seen) == len(chats)

        await frames(socket, done)
        yield f"81 frames: errors {errors}"


async def reading(api, arguments):
    """C1: ten people read what one of them writes every two seconds; how many `read` events the author receives."""
    users = [api.user() for _ in range(10)]
    uri = api.chat(*users)
    posts = max(1, round(arguments.minutes * 30))
    counts, events, markers = [0] * len(users), set(), {}

    async def listen(index, socket):
        async for frame in socket:
            lines = [json.loads(line) for line in frame.splitlines()]
            counts[index] += any(line["type"] in ("message", "read") for line in lines)
            for line in lines:
                if line["type"] == "message" and index > 0:
                    await socket.send(json.dumps({"action": "read", "uri": uri, "id": line["id"]}))
                # The author reads nothing, and so gets no direct answers, which look the same.
                if line["type"] == "read" and index == 0:
                    events.add(json.dumps(line))
                    markers.update({user: max(id, markers.get(user, 0)) for user, id in line["read"].items()})

    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(api.socket(token, uri)) for token, _ in users]
        tasks = [asyncio.create_task(listen(index, socket)) for index, socket in enumerate(sockets)]
        started = time.monotonic()
        last = None
        for number in range(posts):
            last = await asyncio.to_thread(api.post, users[0][0], uri, f"{number}")
            await asyncio.sleep(max(0, started + 2 * (number + 1) - time.monotonic()))
        async with asyncio.timeout(TIMEOUT):
            while sum(id == last for id in markers.values()) < len(users) - 1:
                await asyncio.sleep(0.1)
        seconds = time.monotonic() - started
        for task in tasks:
            task.cancel()
    # Depends on the speed of the machine, so it is not compared with the document.
    print(f"({sum(counts) / posts / len(users):.1f} frames per message and socket)", flush=True)
    # The window of the first event may have begun earlier.
    is_bounded = len(events) <= 1 + seconds / 5
    yield f"read events: {'at most one in five seconds' if is_bounded else f'{len(events)} in {seconds:.0f} seconds'}"


PROBES = {probe.__name__: probe for probe in (permissions, slashes, headers, responses, large, characters, throttling, subscriptions, reading)}


# --- The program ---------------------------------------------------------------------------------------------------------


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("addresses", nargs="*", help="the HTTP and the WebSocket URL, then the names of probes")
    arguments.add_argument("--laptop", action="store_true", help="run a laptop cloud for it")
    arguments.add_argument("--document", action="store_true", help="compare with the document")
    arguments.add_argument("--minutes", type=float, default=10, help="how long `reading` reads")
    arguments.add_argument("--sockets", type=int, default=300, help="the sockets of `throttling`")
    arguments = arguments.parse_args()
    with contextlib.ExitStack() as stack:
        if arguments.laptop:
            port = stack.enter_context(laptop.running(laptop.program(None, True), ROOT / "template.yaml", PARAMETERS, options=["--like-aws"]))
            http, websocket, names = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws", arguments.addresses
        else:
            http, websocket, *names = arguments.addresses
        outputs = asyncio.run(run(Api(http, websocket), names or PROBES, arguments))
    if arguments.document:
        check_document(outputs)


async def run(api, names, arguments):
    outputs = {}
    for name in names:
        print(f"# {name}", flush=True)
        outputs[name] = []
        async for line in PROBES[name](api, arguments):
            print(line, flush=True)
            outputs[name].append(line)
    return outputs


def check_document(outputs):
    """The document has a section for each probe, with the output that the laptop cloud gives."""
    blocks = dict(re.findall(r"^# (\w+)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
    for name in PROBES.keys() - blocks.keys():
        sys.exit(f"{DOCUMENT.name} has no output of {name}.")
    for name, lines in outputs.items():
        if lines != blocks[name].splitlines():
            sys.exit(f"{DOCUMENT.name} has another output of {name}:\n{blocks[name]}")


if __name__ == "__main__":
    main()
