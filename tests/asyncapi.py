"""Checks docs/asyncapi.yaml, the description of the WebSocket API.

It must be valid AsyncAPI 3.0, its references must resolve, and its examples must match their schemas. Each message from the
server must be closed and have the name of its `type`, and each action must have an operation of its name. The end-to-end
tests check the server against it: they compare the operations with the actions that the server knows, and each line that a
socket receives with its schema.

Needs the packages in tests/requirements.txt, which include npm to download AsyncAPI's schema.

    tests/asyncapi.py
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The JSON Schemas that AsyncAPI's parser uses. There is no Python package of them.
SPECS = "@asyncapi/specs@6.11.1"
SCHEMA = "package/schemas/3.0.0-without-$id.json"

# Messages without a documented `type`.
WITHOUT_TYPE = {"CustomEvent", "GatewayError"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/asyncapi.yaml")
    arguments = arguments.parse_args()

    document = yaml.safe_load(arguments.document.read_text())
    check_schema(document)
    check_references(document, document)
    operations = document["operations"].values()
    received = messages_of(document, (each for each in operations if each["action"] == "receive"))
    sending = [each for each in operations if each["action"] == "send"]
    sent = messages_of(document, sending + [each["reply"] for each in operations if "reply" in each])
    if unused := document["components"]["messages"].keys() - received.keys() - sent.keys():
        sys.exit(f"No operation has {sorted(unused)}.")
    check_names(document, sent)
    check_actions(document)
    examples = check_examples(document)
    print(f"AsyncAPI {document['asyncapi']}: {len(received)} actions, {len(sent)} messages from the server, {examples} examples.")


def check_schema(document):
    """The document is valid AsyncAPI."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--prefer-offline", "--pack-destination", folder, SPECS]
        # npm's notices go to stderr; they matter only if it fails.
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if packed.returncode != 0:
            sys.exit(f"npm could not download {SPECS}: {packed.stderr}")
        with tarfile.open(pathlib.Path(folder) / packed.stdout.split()[-1]) as package:
            schema = json.load(package.extractfile(SCHEMA))
    check("The document", Draft7Validator(schema), document)


def check_references(document, value):
    """Each `$ref` resolves."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            resolve(document, reference)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            check_references(document, each)


def resolve(document, reference):
    value = document
    try:
        for name in reference.removeprefix("#/").split("/"):
            value = value[name]
    except (KeyError, TypeError):
        sys.exit(f"{reference} does not resolve.")
    return value


def messages_of(document, operations):
    """The messages of operations or replies, by name."""
    messages = {}
    for operation in operations:
        for message in operation["messages"]:
            channel, _, name = message["$ref"].rpartition("/messages/")
            if channel != operation["channel"]["$ref"]:
                sys.exit(f"{message['$ref']} is not in the channel of its operation.")
            messages[name] = resolve(document, resolve(document, message["$ref"])["$ref"])
    return messages


def check_names(document, sent):
    """The `type` of a line from the server determines its schema, and the schema is closed."""
    for name, message in sent.items():
        payload = payload_of(document, message)
        kind = payload["properties"].get("type", {}).get("const")
        if kind is None and name not in WITHOUT_TYPE or kind is not None and name != kind.capitalize():
            sys.exit(f"{name} has the type {kind}.")
        if name != "CustomEvent" and payload.get("additionalProperties") is not False:
            sys.exit(f"{name} is not closed.")


def check_actions(document):
    """Each action has the operation of its name."""
    for name, operation in document["operations"].items():
        if operation["action"] == "receive":
            messages = messages_of(document, [operation]).values()
            actions = {payload_of(document, message)["properties"]["action"]["const"] for message in messages}
            if actions != {name}:
                sys.exit(f"The operation {name} has the actions {sorted(actions)}.")


def payload_of(document, message):
    payload = message["payload"]
    return resolve(document, payload["$ref"]) if "$ref" in payload else payload


def check_examples(document):
    """Each message has examples that match its schema. Returns the number of examples."""
    count = 0
    for name, message in document["components"]["messages"].items():
        schema = {"$ref": f"#/components/messages/{name}/payload", "components": document["components"]}
        validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
        if not message.get("examples"):
            sys.exit(f"{name} has no example.")
        for example in message["examples"]:
            check(f"{name}: the example {example['name']}", validator, example["payload"])
            count += 1
    return count


def check(what, validator, value):
    if error := best_match(validator.iter_errors(value)):
        sys.exit(f"{what} does not match its schema, at {error.json_path}: {error.message}")


if __name__ == "__main__":
    main()
