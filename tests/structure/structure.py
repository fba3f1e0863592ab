#!/usr/bin/env python3
"""Checks the rules that the source tree keeps: where things are, what may include what, how they are written.

    structure.py ROOT layers                    includes point one way
    structure.py ROOT rules                     size, guards, forbidden words, umbrella headers
    structure.py ROOT format                    clang-format-19 has nothing to change (77: there is none)
    structure.py ROOT tidy BUILD FILE...        clang-tidy-19 finds nothing (77: there is none) in these of a build's files
    structure.py ROOT alone COMPILER [FLAG...]  each header compiles by itself, the freestanding ones so as well
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

# From the vocabulary up. A folder includes itself and what stands in a line above its own; folders in one line do not
# know each other but where `siblings` says so.
levels = [
    ["core"],
    ["cpu", "acpi"],
    ["device"],
    ["virtio", "boot"],
    ["compose"],
    ["memory", "io", "hv", "host", "observe"],
    ["placement"],
    ["machine"],  # machine.hpp and machine/
    [f"virtio_{device}.hpp" for device in "balloon blk blk_pci console net rng vsock".split()],  # devices and their system
    ["axvm.hpp"],
]
siblings = {
    ("io", "memory"): "rings and buffers that the kernel shares are mappings",
    ("hv", "memory"): "what a backend shares with the kernel is a mapping",
    ("hv", "io"): "descriptors and eventfds",
    ("host", "io"): "files of the host",
}
freestanding = ["core", "cpu", "acpi", "device", "virtio", "boot", "compose"]
# What a header of theirs may name of the standard library: nothing that needs an operating system by its own nature.
standard_headers = set(
    "algorithm array bit climits compare concepts cstddef cstdint cstring expected initializer_list iterator limits "
    "memory new numeric optional span string_view tuple type_traits utility variant version".split()
)
umbrellas = {
    "device": "devices.hpp", "core": "core.hpp", "cpu": "cpu.hpp", "acpi": "acpi.hpp", "virtio": "virtio.hpp",
    "boot": "boot.hpp", "compose": "compose.hpp", "memory": "memory.hpp", "io": "io.hpp", "hv": "hv.hpp",
    "host": "host.hpp", "observe": "observe.hpp", "placement": "placement.hpp", "machine": "../machine.hpp",
}  # fmt: skip
# What axvm.hpp leaves to be included by those who want it.
apart = tuple(f"include/axvm/{path}" for path in ("bind/", "observe/", "placement/", "hv/hv.hpp", "hv/fake/"))
# The virtio devices but the disk on MMIO, and what they alone need.
apart += tuple(
    f"include/axvm/{path}"
    for device in "balloon blk_pci console net pci rng vsock".split()
    for path in (f"virtio_{device}.hpp", f"virtio/{device}", "virtio/virtio.hpp")
) + tuple(
    f"include/axvm/io/{name}.hpp"
    for name in "io pseudo_terminal socket_console socket_hub system_characters system_entropy tap unix_socket".split()
)
most_lines = 400


def files(root, *folders):
    """Paths below the folders, relative to the root, without what a build made."""
    for folder in folders:
        for at, directories, names in os.walk(os.path.join(root, folder)):
            directories[:] = [d for d in directories if d not in ("build", "corpus", "__pycache__")]
            for name in names:
                yield os.path.relpath(os.path.join(at, name), root)


def headers(root):
    return sorted(path for path in files(root, "include/axvm") if path.endswith(".hpp"))


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def code_of(text):
    """The text without comments and without what stands in string literals."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return token.sub(lambda match: '""' if match.group().startswith('"') else " ", text)


def includes(text):
    return re.findall(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", text, re.MULTILINE)


def folder_of(path):
    """The folder of a header below include/axvm; machine.hpp counts as machine, axvm.hpp as itself."""
    parts = path.removeprefix("include/").removeprefix("axvm/").split("/")
    return parts[0] if len(parts) > 1 else {"machine.hpp": "machine"}.get(parts[0], parts[0])


def layers(root):
    level = {folder: number for number, line in enumerate(levels) for folder in line}
    wrong = []
    for path in headers(root):
        folder = folder_of(path)
        if folder != "bind" and folder not in level:
            wrong.append(f"{path}: the folder {folder} stands in no layer")
            continue
        for included in includes(read(root, path)):
            if not included.startswith("axvm/"):
                continue
            other = folder_of(included)
            if other == "bind":
                allowed = folder == "bind"  # beside the layers: nothing includes it but the programs that want it
            elif other not in level:
                allowed = False
            else:
                allowed = (
                    folder in ("bind", other) or level[other] < level[folder] or (folder, other) in siblings
                )
            if not allowed:
                wrong.append(f"{path} includes {included}: {folder} may not know {other}")
    return wrong


def reachable(root, umbrella):
    """All headers that an umbrella header brings along."""
    seen, waiting = set(), [umbrella]
    while waiting:
        path = waiting.pop()
        if path in seen or not os.path.exists(os.path.join(root, path)):
            continue
        seen.add(path)
        waiting += ["include/" + one for one in includes(read(root, path)) if one.startswith("axvm/")]
    return seen


def rules(root):
    wrong = []
    for path in headers(root):
        text = read(root, path)
        code, folder = code_of(text), folder_of(path)
        if not text.startswith("#pragma once\n"):
            wrong.append(f"{path}: does not begin with #pragma once")
        if text.count("\n") > most_lines:
            wrong.append(f"{path}: {text.count(chr(10))} lines, at most {most_lines}")
        if re.search(r"\bvirtual\b", code):
            wrong.append(f"{path}: a virtual function or base; devices and policies are plain classes")
        if re.search(r"\bstd::(move_only_)?function\b", code) and folder != "bind":
            wrong.append(f"{path}: std::function; call through a pointer of your own, or be a template")
        for included in includes(text):
            if included in ("boost/hana.hpp", "boost/pfr.hpp"):
                wrong.append(f"{path}: includes the whole of {included}; name the header that is needed")
            own = included.startswith(("axvm/", "boost/hana/", "boost/pfr/"))
            if folder in freestanding and not own and included not in standard_headers:
                wrong.append(f"{path}: <{included}> in a freestanding folder")
        if folder in freestanding and re.search(r"\b(throw|try|dynamic_cast|typeid)\b", code):
            wrong.append(f"{path}: exceptions or RTTI in a freestanding folder")

    everything = set(headers(root))
    for folder, umbrella in umbrellas.items():
        own = {path for path in everything if path.startswith(f"include/axvm/{folder}/")}
        if not own:
            continue
        brought = reachable(root, os.path.normpath(f"include/axvm/{folder}/{umbrella}"))
        wrong += [f"{path}: not brought along by {umbrella}" for path in sorted(own - brought)]
    all_layers = {path for path in everything if not path.startswith(apart)}
    wrong += [f"{path}: not brought along by axvm.hpp" for path in sorted(all_layers - reachable(root, "include/axvm/axvm.hpp"))]

    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|HA" r"CK|X" r"XX)\b")
    machine_paths = re.compile(r"(?<![\w./$}])/(work|root|home/\w+|tmp/\w+\.\w+)/")
    for path in sorted(files(root, "include", "examples", "tests", "bench", "docs")):
        try:
            text = read(root, path)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if marks.search(line):
                wrong.append(f"{path}:{number}: a mark of unfinished work")
            if machine_paths.search(line) and not path.endswith("structure.py"):
                wrong.append(f"{path}:{number}: a path of one machine")
    return wrong


def formatted(root):
    tool = shutil.which("clang-format-19")
    if tool is None:
        print("skipped: there is no clang-format-19 (Debian package clang-format-19)")
        sys.exit(77)
    sources = [p for p in files(root, "include", "examples", "tests", "bench") if p.endswith((".hpp", ".cpp", ".h"))]
    run = subprocess.run([tool, "--dry-run", "--Werror", *sorted(sources)], cwd=root, capture_output=True, text=True)
    names = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error:", run.stderr, re.MULTILINE)))
    return [f"{name}: clang-format-19 -i would change it" for name in names] or ([run.stderr] if run.returncode else [])


def tidy(root, build, *sources):
    """The files, and the headers of ours that they bring along, by the checks of .clang-tidy."""
    tool = shutil.which("clang-tidy-19")
    if tool is None:
        print("skipped: there is no clang-tidy-19 (Debian package clang-tidy-19)")
        sys.exit(77)

    def one(source):
        run = subprocess.run([tool, "--quiet", "-p", build, source], cwd=root, capture_output=True, text=True, timeout=280)
        return [run.stdout or run.stderr] if run.returncode != 0 else []

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [found for all_found in pool.map(one, sources) for found in all_found]


def alone(root, compiler):
    """Compiles a file of one #include for each header; those of freestanding folders a second time without a libc's
    promises, exceptions and RTTI. bind/ needs libraries that are not everywhere and is compiled by who uses it."""
    os.environ["LC_ALL"] = "C"

    def one(job):
        path, flags = job
        with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
            source.write(f"#include <{path.removeprefix('include/')}>\n#include <{path.removeprefix('include/')}>\n")
            source.flush()
            run = subprocess.run([*compiler, *flags, "-fsyntax-only", source.name], capture_output=True, text=True, timeout=120)
        return f"{path} {' '.join(flags)}:\n{run.stderr}" if run.returncode != 0 else None

    jobs = [(path, []) for path in headers(root) if folder_of(path) not in ("bind", *freestanding)]
    for path in headers(root):
        if folder_of(path) in freestanding:
            jobs.append((path, ["-ffreestanding", "-fno-exceptions", "-fno-rtti"]))
    # With a hosted library a freestanding header differs in nothing but what that brings along, so the umbrellas do.
    jobs += [(f"include/axvm/{folder}/{umbrellas[folder]}", []) for folder in freestanding]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [message for message in pool.map(one, jobs) if message]
    print(f"{len(jobs)} compilations")
    return wrong


def main():
    root, what, *rest = sys.argv[1:]
    if what == "alone":
        wrong = alone(root, rest)
    else:
        checks = {"layers": layers, "rules": rules, "format": formatted, "tidy": tidy}
        wrong = checks[what](root, *rest)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
