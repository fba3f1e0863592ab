#!/usr/bin/env python3
"""console.py BOOT_LINUX: a person at the terminal of boot-linux. Types commands, interrupts one with Ctrl-C, which
must reach the guest and not the monitor, leaves with poweroff; then again and leaves with Ctrl-A X; then sends SIGTERM,
which asks the guest to power off. The terminal's settings are the same afterwards."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time


class Session:
    def __init__(self, command):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        start_new_session=True)
        self.seen = b""

    def fail(self, what):
        self.process.kill()
        sys.exit(f"{what}; the terminal showed:\n{self.seen.decode(errors='replace')}")

    def expect(self, text, seconds=120):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                self.fail(f"no {text!r} within {seconds} s")
            try:
                got = os.read(self.master, 4096)
            except OSError:
                got = b""
            if not got:
                self.fail(f"ended before {text!r}")
            self.seen += got
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, text):
        os.write(self.master, text)

    def finish(self, status):
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)
        if self.process.returncode != status:
            self.fail(f"exit status {self.process.returncode}, not {status}")
        if termios.tcgetattr(self.slave) != self.before:
            self.fail("the terminal's settings were not restored")
        os.close(self.master)
        os.close(self.slave)


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
