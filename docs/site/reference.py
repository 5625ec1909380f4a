"""Renders openapi.yaml and asyncapi.yaml as Markdown."""

import json

import yaml

METHODS = ("get", "post", "put", "patch", "delete")


def openapi(path):
    document = yaml.safe_load(path.read_text())
    lines = [document["info"]["description"]]
    aliases = {}
    for path_, method, operation in operations(document):
        if operation["operationId"].endswith("Alias"):
            aliases.setdefault(operation["operationId"].removesuffix("Alias"), []).append(f"`{method.upper()} {path_}`")
    for tag in document["tags"]:
        lines += [f"## {tag['name'].capitalize()}", tag["description"]]
        for path_, method, operation in operations(document):
            if tag["name"] in operation["tags"] and not operation["operationId"].endswith("Alias"):
                others = aliases.get(operation["operationId"], [])
                lines += endpoint(document, f"{method.upper()} {path_}", operation, others)
    return "\n\n".join(lines + schemas(document))


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = dict(item[method])
                operation["parameters"] = item.get("parameters", []) + operation.get("parameters", [])
                yield path, method, operation


def endpoint(document, request, operation, aliases):
    lines = [f"### {operation['summary']}", f"`{request}`" + "".join(f" · {alias}" for alias in aliases)]
    lines.append(operation.get("description", ""))
    parameters = [resolve(document, each) for each in operation["parameters"]]
    if parameters:
        lines.append(table("parameter | in | type | ", [
            (f"`{each['name']}`", each["in"], kind(each["schema"]), each.get("description", "")) for each in parameters
        ]))
    if "requestBody" in operation:
        body = resolve(document, operation["requestBody"])
        schema = next(iter(body["content"].values()))["schema"]
        lines += [f"**Request body:** {kind(schema)}", *example(body["content"].values())]
    rows = []
    for status, response in operation["responses"].items():
        response = resolve(document, response)
        contents = response.get("content", {})
        rows.append((status, response["description"], " or ".join(kind(each["schema"]) for each in contents.values())))
        if status.startswith("2") and (shown := example(contents.values())):
            lines += ["**Response:**", *shown]
    return [line for line in lines if line] + [table("status | | body", rows)]


def asyncapi(path):
    document = yaml.safe_load(path.read_text())
    channel = document["channels"]["socket"]
    lines = [document["info"]["description"], "## Connect", channel["description"], "## Actions"]
    replies, actions = [], [each for each in document["operations"].values() if each["action"] == "receive"]
    events = [each for each in document["operations"].values() if each["action"] == "send"]
    shown = set()
    for action in actions:
        lines += [f"### {action['summary']}", action.get("description", "")]
        for each in action["messages"]:
            lines += message(document, each)
        answers = [name_of(each) for each in action.get("reply", {}).get("messages", [])]
        if answers:
            lines.append("**Response:** " + " or ".join(f"[{name}](#message-{name.lower()})" for name in answers))
        replies += [name for name in answers if name not in replies]
    lines.append("## Responses")
    for name in replies:
        lines += titled_message(document, name, shown)
    lines.append("## Events")
    for event in events:
        names = [name_of(each) for each in event["messages"]]
        names = [name for name in names if name not in shown]
        if names:
            lines += [f"### {event['summary']}", event.get("description", "")]
        for name in names:
            lines += titled_message(document, name, shown, "####")
    return "\n\n".join([line for line in lines if line] + schemas(document))


def titled_message(document, name, shown, level="###"):
    shown.add(name)
    return [f"{level} {name} {{#message-{name.lower()}}}", *message(document, {"$ref": f"#/components/messages/{name}"})]


def message(document, reference):
    found = resolve(document, resolve(document, reference))
    lines = [found.get("summary", ""), found.get("description", "")]
    lines.append(fields(found["payload"]) if "properties" in found["payload"] else kind(found["payload"]))
    if examples := found.get("examples"):
        lines.append(code(examples[0]["payload"]))
    return lines


def schemas(document):
    lines = ["## Schemas"]
    for name, schema in document["components"]["schemas"].items():
        lines += [f"### {name} {{#schema-{name.lower()}}}", schema.get("description", "")]
        lines.append(fields(schema) if "properties" in schema else kind(schema))
        if "examples" in schema:
            lines.append(code(schema["examples"][0]))
    return [line for line in lines if line]


def fields(schema):
    return table("field | type | ", list(rows(schema, "")))


def rows(schema, prefix):
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        optional = "" if name in required else ", optional"
        yield f"`{prefix}{name}`", kind(field) + optional, field.get("description", "")
        inner, suffix = (field.get("items", {}), "[].") if field.get("type") == "array" else (field, ".")
        yield from rows(inner, prefix + name + suffix)


def kind(schema):
    """A schema's type in one line."""
    if schema is True or not schema:
        return "any value"
    if schema.get("$ref", "").endswith("/payload"):
        name = schema["$ref"].split("/")[-2]
        return f"[{name}](#message-{name.lower()})"
    if "$ref" in schema:
        name = name_of(schema)
        return f"[{name}](#schema-{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'], ensure_ascii=False)}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each, ensure_ascii=False)}`" for each in schema["enum"])
    for union, joined in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        if union in schema:
            return joined.join(kind(each) for each in schema[union])
    types = schema.get("type", "value")
    types = [types] if isinstance(types, str) else types
    text = " or ".join(f"array of {kind(schema.get('items'))}" if each == "array" else each for each in types)
    notes = [schema["format"]] if "format" in schema else []
    notes += [f"`{schema['pattern']}`"] if "pattern" in schema else []
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")):
        if low in schema and high in schema:
            notes.append(f"{schema[low]:,} to {schema[high]:,}{unit}")
        elif low in schema:
            notes.append(f"at least {schema[low]:,}{unit}")
        elif high in schema:
            notes.append(f"at most {schema[high]:,}{unit}")
    return text + (f" ({', '.join(notes)})" if notes else "")


def example(contents):
    for each in contents:
        for found in each.get("examples", {}).values():
            return [code(found["value"])]
    return []


def code(value):
    if isinstance(value, str):
        return f"```text\n{value.rstrip()}\n```"
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def table(head, entries):
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|---" * columns + "|"]
    for entry in entries:
        cells = (" ".join(str(cell).split()).replace("|", "\\|") for cell in entry)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def name_of(reference):
    return reference["$ref"].rsplit("/", 1)[-1]


def resolve(document, node):
    if "$ref" not in node:
        return node
    for part in node["$ref"].removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document
