"""Checks the server against docs/openapi.yaml: runs schemathesis over every operation, against a laptop cloud.

It first checks the document: it must be valid OpenAPI 3.1, its examples must match its schemas, and its routes must be those
of template.yaml. Then it sends valid and invalid requests, alone and along the document's links, and compares the responses
with the document. Needs the packages in tests/requirements.txt.

    tests/contract.py                       builds confab and tests it
    tests/contract.py --no-build            uses target/debug/confab
    tests/contract.py path/to/confab        uses that program
    tests/contract.py --seed 7              other requests; the same seed repeats them
"""

import argparse
import contextlib
import email
import itertools
import json
import pathlib
import re
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import laptop
import openapi_spec_validator
import schemathesis
import schemathesis.cli
import yaml
from openapi_schema_validator import OAS31Validator
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from transforms import expanded

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Values for template.yaml's parameters: no limits. The limit on attempts per username cannot be disabled, so some responses
# are 429, which the document has.
LIMITS = ["PostsPerMinute", "MarkersPerMinute", "LookupsPerHour", "SocketsPerUser", "ChatsPerUser", "AttemptsPerAddress"]
# The public key is that of RFC 8037; no request has a token that it signed.
ISSUER = {
    "issuer": "https://id.example/",
    "audience": "chat",
    "keys": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
}
PARAMETERS = [f"{limit}=0" for limit in LIMITS] + [f"IdentityIssuers={json.dumps([ISSUER])}"]

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "ensure_resource_availability",
    "use_after_free",
    "has_request_id",
    "allows_the_right_methods",
    # Not object_level_authorization: it expects that users cannot access each other's objects, but a uri is an invitation.
]

# Errors of bodies that match the document, for rules that a schema cannot express.
REJECTIONS = re.compile(
    "|".join(
        [
            # Registered users and their passwords.
            r"A user with that username already exists\.",
            r"Unable to create account\.",
            r"Unable to login with provided credentials\.",
            r"Invalid password\.",
            # Tokens in mails.
            r"Invalid user id or user doesn't exist\.",
            r"Invalid token for given user\.",
            r"There is no (user|member) \".*\"\.",
            # The length of a log.
            r"There is no such entry in this chat\.",
            r"There is no such message in this chat\.",
            # `null` is text in a form.
            r"A whole number from 0 to 9007199254740991 is required\.",
            # Emoji.
            r"One emoji is required\.",
            r"This message has too many reactions\.",
            # Earlier requests with the same key.
            r"This Idempotency-Key was used for a different request\.",
            # Letters, and the length of the NFKC form.
            r"Enter a valid username\. .*",
            r"This value may not consist of dots only\.",
            r"This value may not mix letters of different scripts\.",
            # `format: idn-email` accepts more addresses.
            r"Enter a valid email address\.",
            # The strength of a password, without surrounding white space.
            r"The password is too similar to the .*\.",
            r"This password is (too common|entirely numeric)\.",
            r"This password is too short\. .*",
        ]
    ),
    re.DOTALL,
)

# In a multipart form, names of fields are in headers, where HTTP forbids control characters; schemathesis sends them.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

PASSWORD = "mypassword"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("confab", nargs="?", type=pathlib.Path, help="the program to test")
    arguments.add_argument("--no-build", action="store_true", help="do not build it first")
    arguments.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/openapi.yaml")
    arguments.add_argument("--template", type=pathlib.Path, default=ROOT / "template.yaml")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--examples", type=int, default=30, help="approximate number of requests per operation and phase")
    arguments.add_argument("--log", type=pathlib.Path, help="where confab's log goes")
    arguments = arguments.parse_args()

    document = yaml.safe_load(arguments.document.read_text())
    check_document(document, arguments.template)
    confab = laptop.program(arguments.confab, not arguments.no_build)
    started = time.monotonic()
    with laptop.running(confab, arguments.template, PARAMETERS, arguments.log) as port, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{port}"
        world = World(url)
        check_large_bodies(world, document)
        register_hooks(world, document)
        config = pathlib.Path(folder) / "schemathesis.toml"
        config.write_text(configuration(world))
        # The examples refer to an existing chat.
        example = pathlib.Path(folder) / "openapi.yaml"
        example.write_text(arguments.document.read_text().replace(document["components"]["parameters"]["Uri"]["example"], world.uri))
        command = ["--config-file", str(config), "run", str(example), "--url", url]
        command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing,stateful"]
        command += ["--seed", str(arguments.seed), "--max-examples", str(arguments.examples), "--generation-database", "none"]
        command += ["--workers", "2", "--request-timeout", "30", "--continue-on-failure", "--suppress-health-check", "all", "--no-color"]
        # It writes caches to the working directory.
        with contextlib.chdir(folder):
            status = schemathesis.cli.schemathesis.main(args=command, standalone_mode=False)
    print(f"Seed {arguments.seed}, {time.monotonic() - started:.0f} s.")
    sys.exit(status)


# --- The document ------------------------------------------------------------------------------------------------------


def check_document(document, template):
    openapi_spec_validator.validate(document)
    for location, media_type in media_types(document["paths"]) + media_types(document["components"]):
        schema = {**media_type["schema"], "components": document["components"]}
        validator = OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER)
        for name, example in media_type["examples"].items():
            for error in validator.iter_errors(example["value"]):
                sys.exit(f"{location}: the example {name} does not match its schema: {error.message}")
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method in ("get", "put", "post", "patch", "delete")
    }
    # In prose, it describes that HEAD is answered as GET.
    described |= {("HEAD", path) for method, path in described if method == "GET"}
    routes = {(route["Method"], route["Path"]) for route in http_routes(template)}
    if described != routes:
        sys.exit(f"Only in the document: {sorted(described - routes)}. Only in the template: {sorted(routes - described)}.")


def media_types(value, location=""):
    """All bodies in the document, with their locations."""
    if isinstance(value, list):
        return []
    found = [(location, value)] if "schema" in value and "examples" in value else []
    members = ((name, member) for name, member in value.items() if isinstance(member, dict) and name not in ("examples", "schemas"))
    return found + [each for name, member in members for each in media_types(member, f"{location}/{name}")]


def http_routes(template):
    resources = expanded(template)["Resources"].values()
    events = (event for resource in resources for event in resource.get("Properties", {}).get("Events", {}).values())
    return [event["Properties"] for event in events if event["Type"] == "HttpApi" and "Path" in event["Properties"]]


# --- The server --------------------------------------------------------------------------------------------------------


class World:
    """What the requests need: users, their tokens, and a chat with messages."""

    def __init__(self, url):
        self.url = url
        self.numbers = itertools.count(1)
        self.names = ["danidee", "daniel", "bystander"]
        for name in self.names:
            self.call("POST", "/auth/users/create/", body={"username": name, "password": PASSWORD})
        self.token, self.guest = self.log_in("danidee"), self.log_in("daniel")
        self.uri = self.call("POST", "/api/chats/", self.token)["uri"]
        self.uri_of_others = self.call("POST", "/api/chats/", self.guest)["uri"]
        self.call("PATCH", f"/api/chats/{self.uri}/", self.guest, {"username": "daniel"})
        for text in ("Hello!", "Hey whatsup!", "Žofie 😀"):
            self.call("POST", f"/api/chats/{self.uri}/messages/", self.guest, {"message": text})
        # Of one's own there are many, since some will be deleted.
        own = [self.call("POST", f"/api/chats/{self.uri}/messages/", self.token, {"message": f"{number}"}) for number in range(100)]
        for _ in range(5):
            self.log_in("danidee")
        self.tokens = [token["id"] for token in self.call("GET", "/auth/tokens/", self.token)["tokens"] if not token["current"]]
        self.ids = [1, 2, 3, *(each["id"] for each in own)]

    def log_in(self, name):
        return self.call("POST", "/auth/token/create/", body={"username": name, "password": PASSWORD})["auth_token"]

    def new_token(self):
        """The token of a user for a single request."""
        name = f"passer-by-{next(self.numbers)}"
        self.call("POST", "/auth/users/create/", body={"username": name, "password": PASSWORD})
        return self.log_in(name)

    def send_bytes(self, method, path, size):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Token {self.new_token()}"}
        request = urllib.request.Request(self.url + path, b"x=".ljust(size, b"x"), headers, method=method.upper())
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def call(self, method, path, token=None, body=None):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


def check_large_bodies(world, document):
    """Every operation with a body rejects one byte more than 64 KB; schemathesis does not send such large bodies."""
    schema = document["components"]["responses"]["TooLarge"]["content"]["application/json"]["schema"]
    validator = OAS31Validator({"components": document["components"], **schema})
    for path, item in document["paths"].items():
        for method in item.keys() & {"post", "put", "patch", "delete"}:
            location = path.format(uri=world.uri, username="daniel", id=2, emoji="%F0%9F%91%8D")
            status, answer = world.send_bytes(method, location, 65537)
            is_rejected = status == 413 and validator.is_valid(answer)
            if is_rejected != ("413" in item[method]["responses"]):
                sys.exit(f"{method.upper()} {path} answers {status} {answer} to 65,537 bytes.")
            if is_rejected and world.send_bytes(method, location, 65536)[0] == 413:
                sys.exit(f"{method.upper()} {path} answers 413 to 65,536 bytes.")


# --- The configuration of schemathesis -----------------------------------------------------------------------------------


def configuration(world):
    """Probabilities for values that exist on the server; otherwise hardly any request would pass the first check."""
    names, uris, password = json.dumps(world.names), json.dumps([world.uri] * 4 + [world.uri_of_others]), json.dumps(PASSWORD)
    return f"""
        [dictionaries]
        uris = {{ values = {uris} }}
        names = {{ values = {names} }}
        newcomers = {{ values = ["newcomer"] }}
        passwords = {{ values = [{password}] }}
        ids = {{ values = {json.dumps(world.ids)} }}
        tokens = {{ values = {json.dumps(world.tokens)} }}
        emoji = {{ values = ["👍", "❤", "❤️"] }}
        strong = {{ values = ["Str0ng-pass-phrase", "  пароль-längere  "] }}
        mailboxes = {{ values = ["danidee@example.com", "Foo@EXAMPLE.Com", "a@exämple.com"] }}
        addresses = {{ values = ["danidee@example.com", "Foo@EXAMPLE.Com", "a@exämple.com", ""] }}

        [parameters]
        "path.uri" = {{ dictionary = "uris", probability = 0.9 }}
        "path.username" = {{ dictionary = "names", probability = 0.5 }}
        "path.id" = {{ dictionary = "ids", probability = 0.9 }}
        "path.emoji" = {{ dictionary = "emoji", probability = 0.7 }}
        "body.email" = {{ dictionary = "addresses", probability = 0.7 }}
        "body.new_password" = {{ dictionary = "strong", probability = 0.7 }}
        "body.new_username" = {{ dictionary = "newcomers", probability = 0.7 }}

        [[operations]]
        include-operation-id = "joinChat"
        parameters = {{ "body.username" = {{ dictionary = "names", probability = 0.7 }}, "body.usernames[*]" = {{ dictionary = "names", probability = 0.9 }} }}

        [[operations]]
        include-operation-id = ["requestPasswordReset", "requestPasswordResetAlias", "requestActivation", "requestActivationAlias"]
        parameters = {{ "body.email" = {{ dictionary = "mailboxes", probability = 0.7 }} }}

        [[operations]]
        include-operation-id = ["register", "registerAlias"]
        parameters = {{ "body.username" = {{ dictionary = "newcomers", probability = 0.7 }}, "body.password" = {{ dictionary = "strong", probability = 0.7 }} }}

        [[operations]]
        include-operation-id = ["login", "loginAlias"]
        parameters = {{ "body.username" = {{ dictionary = "names", probability = 0.7 }}, "body.password" = {{ dictionary = "passwords", probability = 0.7 }} }}

        [[operations]]
        include-operation-id = "revokeToken"
        parameters = {{ "path.id" = {{ dictionary = "tokens", probability = 0.7 }} }}

        [[operations]]
        include-operation-id = ["setPassword", "setPasswordAlias", "setUsername", "setUsernameAlias", "deleteMe", "deleteMeAlias", "deleteUser"]
        parameters = {{ "body.current_password" = {{ dictionary = "passwords", probability = 0.7 }} }}
    """


def register_hooks(world, document):
    """Adapts schemathesis to Confab."""
    # These operations revoke their token, or rename or delete its user, so each request uses a new user.
    revoking_operations = {"logout", "logoutAlias", "logoutAll", "setPassword", "setPasswordAlias", "setUsername", "setUsernameAlias"}
    revoking_operations |= {"deleteMe", "deleteMeAlias", "deleteUser"}
    authorization = f"Token {world.token}"
    # These names can be registered once; a request that is rejected for its name does not test its other fields.
    newcomers = ["newcomer"] + [each["value"]["username"] for each in request_examples(document, "Registration")]

    class Owner:
        def get(self, case, context):
            return authorization

        def set(self, case, data, context):
            case.headers["Authorization"] = data

    schemathesis.auth(refresh_interval=None)(Owner)

    def operation_id(case):
        return case.operation.definition.raw.get("operationId")

    @schemathesis.hook
    def before_call(context, case, kwargs):
        if operation_id(case) in revoking_operations and case.headers.get("Authorization") == authorization:
            case.headers["Authorization"] = f"Token {world.new_token()}"
        if operation_id(case) in ("register", "registerAlias") and isinstance(case.body, dict) and case.body.get("username") in newcomers:
            case.body = {**case.body, "username": f"newcomer-{next(world.numbers)}"}
        if operation_id(case) in ("setUsername", "setUsernameAlias") and isinstance(case.body, dict) and case.body.get("new_username") in ("newcomer", "dani"):
            case.body = {**case.body, "new_username": f"newcomer-{next(world.numbers)}"}

    @schemathesis.hook
    def filter_failure(context, failure, case, response):
        if isinstance(failure, RejectedPositiveData):
            has_control_characters = case.media_type == "multipart/form-data" and any(map(CONTROL_CHARACTERS.search, case.body))
            return not has_control_characters and not all(map(REJECTIONS.fullmatch, problems(response)))
        if isinstance(failure, AcceptedNegativeData):
            # An invalid value can become valid: in a form every value is text, and values from a dictionary replace others.
            return negative_outside_the_body(case) or not matches(document, case, response.request)
        return True

    @schemathesis.check
    def has_request_id(context, response, case):
        assert response.headers.get("x-request-id"), "There is no X-Request-Id."

    @schemathesis.check
    def allows_the_right_methods(context, response, case):
        if response.status_code == 405:
            methods = {method.upper() for method in document["paths"][case.path] if method != "parameters"}
            methods = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
            assert response.headers.get("allow") == [", ".join(methods)], f"Allow is {response.headers.get('allow')}."


def request_examples(document, name):
    return document["components"]["requestBodies"][name]["content"]["application/json"]["examples"].values()


def negative_outside_the_body(case):
    locations = ParameterLocation.PATH, ParameterLocation.QUERY, ParameterLocation.HEADER
    return any(case.meta.is_negative_at(location) for location in locations)


def matches(document, case, request):
    """Whether the body that was sent matches the document."""
    body = document["paths"][case.path][case.method.lower()].get("requestBody")
    if body is None:
        return False
    schema = {"components": document["components"], "$ref": body["$ref"] + "/content/application~1json/schema"}
    return OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER).is_valid(body_of(request))


def body_of(request):
    """The body of a request as the server parses it."""
    content_type, body = request.headers.get("Content-Type", ""), request.body or b""
    body = body.encode() if isinstance(body, str) else body
    if content_type.startswith("application/json"):
        return json.loads(body)
    if content_type.startswith("multipart/"):
        message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = message.get_payload() if message.is_multipart() else []
        pairs = [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True).decode(errors="replace")) for part in parts]
    else:
        pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
    fields = {name: [value for other, value in pairs if other == name] for name, _ in pairs}
    return {name: values if name == "usernames" else values[-1] for name, values in fields.items()}


def problems(response):
    """The errors in a response."""
    with contextlib.suppress(ValueError):
        answer = response.json()
        if isinstance(answer, list):
            return answer
        if isinstance(answer, dict):
            return [answer["detail"]] if "detail" in answer else list(itertools.chain.from_iterable(answer.values()))
    return [response.text]


if __name__ == "__main__":
    main()
