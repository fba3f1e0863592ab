#!/usr/bin/env python3
"""devices.py XV2_VMM ARGUMENT...: starts the monitor with the devices that devices.sh is about and is what
they are connected to; runs where the monitor does. Its sockets and links are in a directory of its own, for a directory
shared with the lab can have none."""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

place = tempfile.mkdtemp()
tty = place + "/hvc0"
vsock = place + "/vsock"
tap = "axvmtest0"
if not os.path.exists("/dev/net/tun"):
    subprocess.run(["busybox", "insmod", os.environ["TUN_MODULE"]], check=True)
monitor = subprocess.Popen(
    [*sys.argv[1:], "--console0.port", "pty:" + tty, "--vsock0.path", vsock, "--vsock0.cid", "42",
     "--memory", "512M", "--memory-backing", "thp", "--balloon0.enabled", "--balloon0.size", "64M",
     "--net", f"tap={tap},mac=02:00:00:00:00:09"],
    stdin=subprocess.DEVNULL)


def fail(what):
    monitor.kill()
    sys.exit(what)


def until(condition, what, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end or monitor.poll() is not None:
            fail(f"no {what}")
        time.sleep(0.05)


class Terminal:
    """What a person at the pseudo-terminal sees and types."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.seen = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text, seconds=400):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.file], [], [], left)[0]:
                fail(f"no {text!r} on hvc0, but {self.seen[-1000:]!r}")
            self.seen += os.read(self.file, 4096)
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, text):
        os.write(self.file, text)


def echo_server(path):
    """The program that the guest's connections to a port get: one of them."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    connection = listener.accept()[0]
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()


def tcp_echo_server():
    """The guest's peer at 10.9.0.1, port 7000; ends after 3 MiB, for the guest's nc keeps its side open."""
    listener = socket.create_server(("10.9.0.1", 7000))
    connection = listener.accept()[0]
    left = 48 * 65536
    while left and (data := connection.recv(65536)):
        connection.sendall(data)
        left -= len(data)
    connection.close()


def exchange(path, port, total):
    """Connects to a program of the guest that echoes, as soon as it listens; sends and reads at the same time."""
    end = time.monotonic() + 120
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        connection.sendall(b"CONNECT %d\n" % port)
        answer = b""
        while not answer.endswith(b"\n") and (byte := connection.recv(1)):
            answer += byte
        if answer.startswith(b"OK "):
            break
        if answer or time.monotonic() > end:
            fail(f"vsock: {answer!r} for an answer")
        time.sleep(0.1)
    sent = os.urandom(total)
    writer = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
    writer.start()
    got = b""
    while data := connection.recv(65536):
        got += data
    writer.join()
    if got != sent:
        fail(f"vsock: {len(got)} bytes came back, not the same {total}")


threading.Thread(target=echo_server, args=[vsock + "_6000"], daemon=True).start()
until(lambda: os.path.exists("/sys/class/net/" + tap), "interface " + tap)
subprocess.run(["busybox", "ip", "address", "add", "10.9.0.1/24", "dev", tap], check=True)
subprocess.run(["busybox", "ip", "link", "set", tap, "up"], check=True)
threading.Thread(target=tcp_echo_server, daemon=True).start()
until(lambda: os.path.exists(tty), "pseudo-terminal")
terminal = Terminal(tty)
terminal.expect(b"login: ")
terminal.type(b"root\r")
terminal.expect(b"# ")
terminal.type(b"echo $((6*7))\r")
terminal.expect(b"\n42")
terminal.type(b"until [ \"$(stty size)\" = '24 80' ]; do usleep 10000; done; echo si''zed\r")
terminal.expect(b"\nsized")
terminal.size(50, 132)
terminal.type(b"\r")  # the size is looked at when a key comes
terminal.expect(b"# ")
terminal.type(b"until [ \"$(stty size)\" = '50 132' ]; do usleep 10000; done; echo resi''zed\r")
terminal.expect(b"\nresized")
terminal.type(b"dmesg | head -n 20; echo e''nd\r")
terminal.expect(b"\nend")
exchange(vsock, 5000, 2_000_000)


def resident():
    """MiB of the monitor that the host has in RAM, guest memory included."""
    with open(f"/proc/{monitor.pid}/status") as file:
        return next(int(line.split()[1]) >> 10 for line in file if line.startswith("VmRSS:"))


before = resident()
terminal.type(b"touch /tmp/use; until [ -e /tmp/in-use ]; do usleep 50000; done; echo us''ed\r")
terminal.expect(b"\nused")
in_use = resident()
terminal.type(b"touch /tmp/free\r")
until(lambda: resident() < in_use - 120, f"memory comes back: {before} MiB, then {in_use} MiB and no less")
print(f"resident: {before} MiB, {in_use} MiB, {resident()} MiB", flush=True)
terminal.type(b"touch /tmp/over; exit\r")
status = monitor.wait(400)
os.unlink(vsock + "_6000")
os.rmdir(place)  # the monitor has taken away what it made there
sys.exit(status)
