#!/usr/bin/env python3
"""console.py BOOT_LINUX: a person at the terminal of boot-linux. Types commands, interrupts one with Ctrl-C, which
must reach the guest and not the monitor, leaves with poweroff; then again and leaves with Ctrl-A X; then sends SIGTERM,
which asks the guest to power off. The terminal's settings are the same afterwards."""

import signal
import sys

from session import Session

command = [sys.argv[1], "--no-install", "--disk", sys.argv[2]]
prompt = b"guest:/mnt# "

session = Session(command)
session.expect(prompt)
session.type(b"echo $((6*7))\r")
session.expect(b"\n42")
session.expect(prompt)
# Only what a command prints shows that the shell's line editor, to which Ctrl-C is a key, has left the terminal.
session.type(b"echo run''ning; sleep 1000\r")
session.expect(b"running")
session.type(b"\x03")
session.expect(b"^C")
session.expect(prompt, 30)
session.type(b"poweroff\r")
session.finish(0)

session = Session(command)
session.expect(prompt)
session.type(b"\x01x")
session.finish(0)

session = Session(command)
session.expect(prompt)
session.process.send_signal(signal.SIGTERM)
session.finish(0)
