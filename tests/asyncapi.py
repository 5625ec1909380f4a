"""Checks docs/asyncapi.yaml, the description of the WebSocket API, by itself.

That it is AsyncAPI 3.0, that its references lead somewhere and its examples fit their schemas, that each message from the server is closed and stands
under the name that its `type` gives it, and that each action has the operation of its name. Whether the server keeps to it is for the end-to-end
tests: they compare the operations with the actions that the server knows, and each line that comes over a socket with its schema.

Needs what tests/requirements.txt lists; npm, which is among that, fetches AsyncAPI's own schema.

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

# The JSON Schemas that AsyncAPI's own parser goes by. There is no Python package of them.
SPECS = "@asyncapi/specs@6.11.1"
SCHEMA = "package/schemas/3.0.0-without-$id.json"

# What has no `type` of ours.
WITHOUT_TYPE = {"CustomEvent", "GatewayError"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/asyncapi.yaml")
    arguments = arguments.parse_args()

    document = yaml.safe_load(arguments.document.read_text())
    check_form(document)
    check_references(document, document)
    operations = document["operations"].values()
    asked = messages_of(document, (each for each in operations if each["action"] == "receive"))
    sent = [each for each in operations if each["action"] == "send"]
    told = messages_of(document, sent + [each["reply"] for each in operations if "reply" in each])
    if unused := document["components"]["messages"].keys() - asked.keys() - told.keys():
        sys.exit(f"No operation has {sorted(unused)}.")
    check_names(document, told)
    check_actions(document)
    examples = check_examples(document)
    print(f"AsyncAPI {document['asyncapi']}: {len(asked)} actions, {len(told)} messages from the server, {examples} examples.")


def check_form(document):
    """That it is what it says it is."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--prefer-offline", "--pack-destination", folder, SPECS]
        # npm's notices go to stderr, and matter only if it fails.
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if packed.returncode != 0:
            sys.exit(f"npm did not fetch {SPECS}: {packed.stderr}")
        with tarfile.open(pathlib.Path(folder) / packed.stdout.split()[-1]) as package:
            schema = json.load(package.extractfile(SCHEMA))
    refuse("The document", Draft7Validator(schema), document)


def check_references(document, value):
    """That each `$ref` leads to something."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            resolved(document, reference)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            check_references(document, each)


def resolved(document, reference):
    value = document
    try:
        for name in reference.removeprefix("#/").split("/"):
            value = value[name]
    except (KeyError, TypeError):
        sys.exit(f"{reference} leads nowhere.")
    return value


def messages_of(document, operations):
    """The messages of some operations or replies, by their names."""
    messages = {}
    for operation in operations:
        for message in operation["messages"]:
            channel, _, name = message["$ref"].rpartition("/messages/")
            if channel != operation["channel"]["$ref"]:
                sys.exit(f"{message['$ref']} is not of the channel of its operation.")
            messages[name] = resolved(document, resolved(document, message["$ref"])["$ref"])
    return messages


def check_names(document, told):
    """That whoever has a line from the server finds its schema by its `type`, and that the schema lets nothing else through."""
    for name, message in told.items():
        payload = payload_of(document, message)
        kind = payload["properties"].get("type", {}).get("const")
        if kind is None and name not in WITHOUT_TYPE or kind is not None and name != kind.capitalize():
            sys.exit(f"{name} is the message of the type {kind}.")
        if name != "CustomEvent" and payload.get("additionalProperties") is not False:
            sys.exit(f"{name} is open.")


def check_actions(document):
    """That each action is described by the operation of its name."""
    for name, operation in document["operations"].items():
        if operation["action"] == "receive":
            messages = messages_of(document, [operation]).values()
            actions = {payload_of(document, message)["properties"]["action"]["const"] for message in messages}
            if actions != {name}:
                sys.exit(f"The operation {name} is for {sorted(actions)}.")


def payload_of(document, message):
    payload = message["payload"]
    return resolved(document, payload["$ref"]) if "$ref" in payload else payload


def check_examples(document):
    """That each message has examples that fit its own schema, and says how many there are."""
    count = 0
    for name, message in document["components"]["messages"].items():
        schema = {"$ref": f"#/components/messages/{name}/payload", "components": document["components"]}
        validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
        if not message.get("examples"):
            sys.exit(f"{name} has no example.")
        for example in message["examples"]:
            refuse(f"{name}: the example {example['name']}", validator, example["payload"])
            count += 1
    return count


def refuse(what, validator, value):
    if error := best_match(validator.iter_errors(value)):
        sys.exit(f"{what} does not fit its schema, at {error.json_path}: {error.message}")


if __name__ == "__main__":
    main()
