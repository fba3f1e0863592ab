"""For the tests that need a person at a terminal."""

import os
import pty
import select
import subprocess
import sys
import termios
import time


class Session:
    """A program on a terminal of its own, and what somebody who sits there sees and does."""

    def __init__(self, command):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        start_new_session=True)
        self.seen = b""

    def fail(self, what):
        self.process.kill()
        sys.exit(f"{what}; the terminal showed:\n{self.seen.decode(errors='replace')}")

    def expect(self, text, seconds=400):
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

    def finish(self, status, seconds=900):
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                self.fail(f"did not end within {seconds} s")
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)
        if self.process.returncode != status:
            self.fail(f"exit status {self.process.returncode}, not {status}")
        if termios.tcgetattr(self.slave) != self.before:
            self.fail("the terminal's settings were not restored")
        os.close(self.master)
        os.close(self.slave)
