"""mdBook's preprocessor for these pages (docs/book.toml runs it).

- A page that is only `{{#include ../FILE}}` becomes that file of the repository, with its links.
- `{{#openapi FILE}}` and `{{#asyncapi FILE}}` become a reference of that document.
- A link to a file outside the book becomes the path of that file, or a link if `git-repository-url` is set.

A link to a file that does not exist is an error.
"""

import json
import os
import pathlib
import re
import sys

import reference

DOCS = pathlib.Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
INCLUDE = re.compile(r"\s*\{\{#include (\S+)\}\}\s*")
REFERENCE = re.compile(r"^\{\{#(openapi|asyncapi) (\S+)\}\}$", re.MULTILINE)
# Code, in which nothing is a link, or a link: [label](target), [label]: target, src="target".
CODE_OR_LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```|`[^`]*`)"
    r"|(?P<image>!?)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^\s()]+)\)"
    r"|^(?P<definition>\[[^\]]+\]: )(?P<defined>\S+)"
    r'|(?P<attribute>\b(?:src|href)=")(?P<source>[^"]+)',
    re.MULTILINE | re.DOTALL,
)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    repository = context["config"].get("output", {}).get("html", {}).get("git-repository-url")
    chapters = list(chapters_of(book["items"]))
    pages = {DOCS / "README.md": "index.html", ROOT / "README.md": "index.html"}
    for chapter in chapters:
        pages.setdefault(DOCS / chapter["path"], chapter["path"])
        if included := INCLUDE.fullmatch(chapter["content"]):
            pages[(DOCS / included[1]).resolve()] = chapter["path"]
    for chapter in chapters:
        chapter["content"] = content(chapter, pages, repository)
    json.dump(book, sys.stdout)


def chapters_of(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters_of(item["Chapter"]["sub_items"])


def content(chapter, pages, repository):
    text, folder = chapter["content"], DOCS
    if included := INCLUDE.fullmatch(text):
        file = (DOCS / included[1]).resolve()
        text, folder = file.read_text(), file.parent
    text = REFERENCE.sub(lambda match: getattr(reference, match[1])(DOCS / match[2]), text)
    return CODE_OR_LINK.sub(lambda match: link(match, folder, pages, repository, chapter["name"]), text)


def link(match, folder, pages, repository, name):
    if match["code"]:
        return match[0]
    group = next(name for name in ("target", "defined", "source") if match[name])
    target = match[group]
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, _, anchor = target.partition("#")
    file = (folder / path).resolve()
    if not file.exists():
        sys.exit(f"{name}: there is no {target}")
    if page := pages.get(file):
        moved = page
    elif file.is_relative_to(DOCS) and file.is_file():
        moved = os.path.relpath(file, DOCS)
    elif repository:
        moved = f"{repository.rstrip('/')}/blob/HEAD/{file.relative_to(ROOT)}"
    else:
        return outside(match, file.relative_to(ROOT))
    before, after = match.start(group) - match.start(), match.end(group) - match.start()
    return match[0][:before] + moved + ("#" + anchor if anchor else "") + match[0][after:]


def outside(match, path):
    """A link to a file that is not in the book, as text."""
    label = match["label"] or ""
    if label.strip("`/").split("/")[-1] == path.name:
        return f"`{path}`"
    return f"{label} (`{path}`)"


if __name__ == "__main__":
    main()
