#!/usr/bin/env python3
"""second_signal.py XV2_VMM ARGUMENT...: a guest that ignores its power button. The first SIGTERM presses it, and the
guest goes on; the second one stops the monitor at once, with status 128 + 15. To be run where KVM is."""

import signal
import sys

from session import Session

session = Session(sys.argv[1:])
prompt = b"guest:/mnt# "
session.expect(prompt)
# Without its power button's daemon the guest gets the event and does nothing about it. What is written in two pieces is
# not found in the echo of the command.
session.type(b"killall acpid; while pidof acpid; do usleep 10000; done; echo nobody''listens\r")
session.expect(b"nobodylistens")
session.expect(prompt)
session.type(b"exec 3</dev/input/event0; echo event''open\r")
session.expect(b"eventopen")
session.expect(prompt)
session.process.send_signal(signal.SIGTERM)
session.expect(b"asking the guest to power off; a second signal stops it at once")
session.type(b"dd bs=24 count=1 <&3 >/dev/null 2>&1 && echo button''pressed\r")
session.expect(b"buttonpressed")
session.expect(prompt)
session.type(b"echo still''$((6*7))\r")
session.expect(b"still42")
session.process.send_signal(signal.SIGTERM)
session.finish(128 + signal.SIGTERM, 20)
