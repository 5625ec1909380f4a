"""Checks all links of the Markdown files in the repository and of the built book: files, anchors, and that pages of the
book load nothing from elsewhere. Makes no request to the network.

    docs/site/links.py docs/book
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

from pages import CODE_OR_LINK, DOCS, ROOT

# What a page loads, in contrast to what a reader may follow.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}


def main():
    sources = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "web/client/README.md"]
    dead = [problem for source in sources for problem in dead_links_of_source(source)]
    summary = (DOCS / "SUMMARY.md").read_text()
    dead += [f"SUMMARY.md lacks {page.name}" for page in DOCS.glob("*.md") if f"({page.name})" not in summary + "(SUMMARY.md)"]
    book = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in book.rglob("*.html") if path.name != "toc.html"}
    dead += [problem for page in pages.values() for problem in dead_links_of_page(page, pages, book)]
    if dead:
        sys.exit("\n".join(sorted(set(dead))))
    links = sum(len(page.links) for page in pages.values())
    print(f"{len(sources)} files and {len(pages)} pages with {links} links: none is dead.")


def dead_links_of_source(source):
    """Links between Markdown files as GitHub resolves them."""
    for match in CODE_OR_LINK.finditer(source.read_text()):
        target = match["target"] or match["defined"] or match["source"]
        if match["code"] or re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (source.parent / path).resolve() if path else source
        if not file.exists():
            yield f"{source.relative_to(ROOT)}: there is no {target}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{source.relative_to(ROOT)}: there is no heading {target}"


def anchors(file):
    """The anchors that GitHub gives to the headings of a file, or of the file that it includes."""
    text = file.read_text()
    if included := re.fullmatch(r"\s*\{\{#include (\S+)\}\}\s*", text):
        text = (file.parent / included[1]).read_text()
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(n for n in range(1000) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links = path, {""}, []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append((tag, name, value))


def dead_links_of_page(page, pages, book):
    name = page.path.relative_to(book)
    for tag, attribute, target in page.links:
        url = urllib.parse.urlsplit(target)
        if url.scheme or url.netloc:
            if (tag, attribute) in LOADED and url.scheme != "data":
                yield f"{name}: loads {target} from elsewhere"
            continue
        path = urllib.parse.unquote(url.path)
        # The page for missing pages has links from the root of the site.
        folder = book if path.startswith("/") or name.name == "404.html" else page.path.parent
        file = (folder / path.lstrip("/")).resolve() if path else page.path
        if not file.exists():
            yield f"{name}: there is no {target}"
        elif file in pages and urllib.parse.unquote(url.fragment) not in pages[file].ids:
            yield f"{name}: there is no heading {target}"


if __name__ == "__main__":
    main()
