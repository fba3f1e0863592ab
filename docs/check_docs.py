#!/usr/bin/env python3
"""Checks README.md and docs/ against the tree they speak of.

    check_docs.py ROOT code             every C++ block is a file that is compiled, or a part of one
    check_docs.py ROOT links            every link and every path leads somewhere
    check_docs.py ROOT citations        every key cited in the headers is explained, and no other
    check_docs.py ROOT flags PROGRAM DOCUMENT
                                        every flag that PROGRAM --help shows stands in the document

A C++ block has a comment in front of it that says where it is from:

    <!-- file: docs/examples/boot.cpp -->    the block is the whole file
    <!-- part: docs/examples/bell.hpp -->    the block is a run of whole lines of the file, however far indented there
"""

import os
import re
import subprocess
import sys
import textwrap


def documents(root):
    yield "README.md"
    for name in sorted(os.listdir(os.path.join(root, "docs"))):
        if name.endswith(".md"):
            yield "docs/" + name


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def is_part(block, whole):
    """Whether the block's lines follow one another in the file, all shifted by the same indentation."""
    lines, wanted = whole.splitlines(), block.splitlines()
    for start in range(len(lines) - len(wanted) + 1):
        run = lines[start : start + len(wanted)]
        if run == wanted or textwrap.dedent("\n".join(run)) == textwrap.dedent(block.rstrip("\n")):
            return True
    return False


def code(root):
    wrong, shown = [], set()
    block = re.compile(r"(?:^<!-- (file|part): (\S+) -->\n)?^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for document in documents(root):
        text = read(root, document)
        for match in block.finditer(text):
            where = f"{document}:{text.count(chr(10), 0, match.start()) + 1}"
            kind, path, body = match.groups()
            if kind is None:
                wrong.append(f"{where}: a C++ block that says not which file it is from")
                continue
            if not os.path.exists(os.path.join(root, path)):
                wrong.append(f"{where}: there is no {path}")
                continue
            shown.add(path)
            whole = read(root, path)
            if kind == "file" and body != whole:
                wrong.append(f"{where}: differs from {path}")
            elif kind == "part" and not is_part(body, whole):
                wrong.append(f"{where}: is no part of {path}")
    for name in sorted(os.listdir(os.path.join(root, "docs/examples"))):
        path = "docs/examples/" + name
        if name.endswith((".cpp", ".hpp")) and name != "main.cpp" and path not in shown:
            wrong.append(f"{path}: no document shows any of it")
    return wrong


def links(root):
    wrong = []
    for document in documents(root):
        text, here = without_code(read(root, document)), os.path.dirname(document)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not os.path.exists(os.path.join(root, here, target)):
                wrong.append(f"{document}: the link {target} leads nowhere")
        for path in re.findall(r"`((?:include|tests|examples|docs|bench)/[\w./-]+)`", text):
            if not os.path.exists(os.path.join(root, path)):
                wrong.append(f"{document}: there is no {path}")
    return wrong


def citations(root):
    cited = {}
    for at, _, names in os.walk(os.path.join(root, "include")):
        for name in names:
            path = os.path.relpath(os.path.join(at, name), root)
            for key in re.findall(r"\[([a-z]+/[\w.]+)\]", read(root, path)):
                cited.setdefault(key, path)
    explained = set(re.findall(r"^\| `\[([a-z]+/[\w.]+)\]` \|", read(root, "docs/citations.md"), re.MULTILINE))
    wrong = [f"{cited[key]}: [{key}] is not in docs/citations.md" for key in sorted(set(cited) - explained)]
    return wrong + [f"docs/citations.md: nothing cites [{key}]" for key in sorted(explained - set(cited))]


def flags(root, program, document):
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout

    def flags_in(text):
        # Settings of one of several equal devices have its number in their name; a document may write N.
        found = re.findall(r"(?<![\w-])--[a-z](?:[\w.-]*\w)?", text)
        return {re.sub(r"^(--(?:no-)?[a-z]+)(?:\d+|N)\.", r"\1N.", flag) for flag in found}

    return [f"{document}: says nothing of {flag}" for flag in sorted(flags_in(shown) - flags_in(read(root, document)))]


def main():
    root, what, *rest = sys.argv[1:]
    wrong = {"code": code, "links": links, "citations": citations, "flags": flags}[what](root, *rest)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
