"""What a bench prints: text and tables, and the same as a file from which docs/performance.md is made."""

import json
import pathlib
import shlex
import sys
import textwrap

from axvm_bench import svg, table

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "build/bench"
IMAGES = ROOT / "docs/images"


def wrapped(text):
    """Paragraphs and list entries as lines of at most 120 characters."""
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, 120, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False) or [""]
    return "\n".join(lines)


def markdown(part):
    if part["kind"] == "text":
        return wrapped(part["text"]) + "\n"
    if part["kind"] == "plot":
        return f"![{part['title']}](images/{part['name']}.svg)\n"
    return wrapped(f"**{part['title']}**") + "\n\n" + table.text(part["head"], part["rows"])


class Report:
    """Prints each part when it is added; `save` writes all of them, with what was measured, to build/bench/NAME.json."""

    def __init__(self, name, title):
        command = shlex.join([f"bench/{name}", *sys.argv[1:]])
        self.content = {"name": name, "title": title, "command": command, "parts": [], "measured": {}}

    def _add(self, part):
        self.content["parts"].append(part)
        if part["kind"] != "plot":  # there is nothing to see in a terminal
            print(markdown(part), flush=True)

    def text(self, text):
        """Paragraphs; each is one line, as is each entry of a list."""
        self._add({"kind": "text", "text": text})

    def table(self, title, head, rows):
        self._add({"kind": "table", "title": title, "head": head, "rows": [[str(cell) for cell in row] for row in rows]})

    def bars(self, name, title, values, digits=1):
        """A plot, docs/images/bench-NAME.svg: a bar for each (label, value) that was measured; the first is the floor."""
        there = [(label, value) for label, value in values if value is not None]
        self._add({"kind": "plot", "name": f"bench-{name}", "title": title, "svg": svg.bars(title, there, digits)})

    def save(self, measured):
        """`measured` is every single figure, before medians, in whatever form the bench has them."""
        self.content["measured"] = measured
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.content['name']}.json"
        path.write_text(json.dumps(self.content, indent=1) + "\n")


def section(name):
    """What a bench printed when it last saved its results, as a section of a document; its plots become files."""
    content = json.loads((RESULTS / f"{name}.json").read_text())
    for part in content["parts"]:
        if part["kind"] == "plot":
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{part['name']}.svg").write_text(part["svg"])
    parts = "\n".join(markdown(part) for part in content["parts"])
    return f"## {content['title']}\n\n    {content['command']}\n\n{parts}"
