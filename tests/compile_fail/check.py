#!/usr/bin/env python3
"""Checks that a wrong composition is refused as its file says.

    check.py FILE COMPILER [FLAG...]

The file says `// EXPECT: regex`, once or more. All of them must match the first line of the compiler's output that says
"error:". There is no second error, and no more than 15 lines of output in all. Before matching, the differences between
compilers that do not matter are taken out: the inline namespace, suffixes of numbers, spaces before `>` and `&`.
"""

import os
import re
import subprocess
import sys

MOST_LINES = 15


def plain(line):
    """The line as both compilers would print it."""
    line = line.replace("v1::", "").replace("‘", "'").replace("’", "'")
    line = re.sub(r"\b(\d+)U?L*\b", r"\1", line)
    line = re.sub(r"\s+>", ">", line)
    return line.replace(" &", "&")


def main():
    source, command = sys.argv[1], sys.argv[2:]
    with open(source, encoding="utf-8") as file:
        expected = re.findall(r"^// EXPECT: (.*)$", file.read(), re.MULTILINE)
    if not expected:
        sys.exit(f"{source}: says no EXPECT")

    environment = dict(os.environ, LC_ALL="C")
    run = subprocess.run(command + ["-fsyntax-only", source], capture_output=True, text=True, env=environment, timeout=120)
    lines = run.stderr.splitlines()
    errors = [plain(line) for line in lines if re.search(r"\berror:", line)]

    wrong = []
    if run.returncode == 0:
        wrong.append("it compiles")
    elif run.returncode != 1:
        wrong.append(f"the compiler ended with status {run.returncode}")
    if len(errors) != 1:
        wrong.append(f"{len(errors)} errors instead of one")
    if len(lines) > MOST_LINES:
        wrong.append(f"{len(lines)} lines of output instead of at most {MOST_LINES}")
    for pattern in expected:
        if not errors or not re.search(pattern, errors[0]):
            wrong.append(f"the first error does not match: {pattern}")
    if wrong:
        print(run.stderr)
        if errors:
            print(f"the first error, as compared: {errors[0]}")
        sys.exit(f"{source}: " + "; ".join(wrong))
    print(f"{len(lines)} lines of output; {errors[0]}")


if __name__ == "__main__":
    main()
