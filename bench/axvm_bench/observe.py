#!/usr/bin/env python3
"""observe.py FOLDER: starts the monitors that FOLDER/job.json names, in turns, and writes what was seen of each run to
FOLDER/results.json. It runs beside the monitors, in the lab or on this machine, and needs nothing but Python.

A job has "name", "runs", "timeout" (seconds, of one start), "seconds" (of all; what is seen by then is what there is),
"files" (all that monitors read), "cold" (whether the first run is one like the others) and "starts", each with "key",
"watch" and "command":
  "watch": "phases"   the guest is bench/axvm_bench/guest_work.cpp; KVM's counters are read around its work, and around
                      "idle" seconds after it
  "watch": "parts"    the guest is bench/axvm_bench/guest_disk.cpp or guest_net.cpp; KVM's counters and the process's time
                      are read around each of its parts
  "watch": "program"  it prints lines of a name and a number
  "watch": "marks"    the guest is bench/axvm_bench/exit_guest.S; nanoseconds of the monitor's processor time
                      between the bytes that it writes
  "watch": "memory"   the memory of the monitor when the guest has written its first byte and halted
  "watch": "start"    until the guest writes its first byte to the serial port; times by the kernel's trace
A job with "image" has a disk image: "bytes" of it, of which each 4 KiB begin with their number, on a file system of its
own in the lab, whose kernel has the "modules" for that, and beside the results on this machine. In commands @IMAGE@
stands for its path.
A job with "network" has a TAP interface of that "name" and "address" in a network namespace of its own, on a kernel that
has the "modules" for that and then must have the "devices", and the program "peer" (bench/axvm_bench/net_peer.cpp) at its other end.
A start with "fresh" finds nothing kept by an earlier one, one with "until" goes on to the line that begins with it, one with "processors" is left out where there are fewer.
Results are {"runs": {key: [what was seen, ...]}, "host": facts of the machine}.
"""

import ctypes
import fcntl
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

DEBUG = "/sys/kernel/debug"
COUNTERS = ["exits", "halt_exits", "halt_wakeup", "halt_successful_poll", "io_exits", "mmio_exits", "irq_injections",
            "irq_exits", "signal_exits", "fpu_reload"]  # fmt: skip
MS_BIND, MS_REC = 4096, 16384
LEAST_GUEST = 64 << 20  # a guest's memory is the only mapping as large as that


STAGE = "/dev/shm/axvm-bench"


class Late(Exception):
    pass


def set_stage(files):
    """Lays copies of all files that monitors read into memory, a root directory of their own. In the lab every opened
    file is a question to the machine outside, whose answer comes whenever it comes."""
    for file in files:
        os.makedirs(os.path.dirname(STAGE + file), exist_ok=True)
        shutil.copy(file, STAGE + file)
    libc = ctypes.CDLL(None, use_errno=True)
    # Before a monitor takes a kernel for one it has seen, that must be as old as its times are exact.
    time.sleep(3)
    for folder in ("/dev", "/proc", "/sys", "/tmp"):
        os.makedirs(STAGE + folder, exist_ok=True)
        if libc.mount(folder.encode(), (STAGE + folder).encode(), None, MS_BIND | MS_REC, None) != 0:
            sys.exit(f"observe: mount {folder}: {os.strerror(ctypes.get_errno())}")


class Monitor:
    """A monitor that has been started: its output, and its end."""

    def __init__(self, pid, stdin, stdout, errors, deadline):
        self.pid, self.stdin, self.stdout, self.errors, self.deadline = pid, stdin, stdout, errors, deadline
        self.pending = b""
        self.status = None

    def wait_for_output(self):
        """Returns when there is something to read, or False at the end of the output."""
        if not select.select([self.stdout], [], [], max(0, self.deadline - time.monotonic()))[0]:
            raise Late
        data = os.read(self.stdout, 65536)
        self.pending += data
        return bool(data)

    def line(self):
        """The next line of output; None at its end."""
        while b"\n" not in self.pending:
            if not self.wait_for_output():
                return None
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def line_after(self, prefix):
        while (line := self.line()) is not None:
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip()
        return None

    def end(self):
        """Ends it; what it said on standard error."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.status = os.waitpid(self.pid, 0)[1]
        os.close(self.stdin)
        os.close(self.stdout)
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace")
        self.errors.close()
        return said


def start(command, deadline, before_exec=lambda pid: None):
    """Starts a program, in the stage where there is one; `before_exec` is called while its process waits to become it."""
    gate_out, gate_in = os.pipe()
    in_out, in_in = os.pipe()
    out_out, out_in = os.pipe()
    errors = open(os.memfd_create("errors"), "r+b", buffering=0)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(gate_in)
            os.dup2(in_out, 0)
            os.dup2(out_in, 1)
            os.dup2(errors.fileno(), 2)
            if os.path.isdir(STAGE):
                os.chroot(STAGE)
                os.chdir("/")
            os.read(gate_out, 1)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    for other in (gate_out, in_out, out_in):
        os.close(other)
    before_exec(pid)
    os.close(gate_in)
    return Monitor(pid, in_in, out_out, errors, deadline)


# ---- KVM's counters ------------------------------------------------------------------------------------------------


def counters(pid):
    """What KVM counted for a process's machine, of all its processors together; empty without the right to see it."""
    for folder in glob.glob(f"{DEBUG}/kvm/{pid}-*"):
        seen = {}
        for name in COUNTERS:
            try:
                with open(f"{folder}/{name}", encoding="ascii") as file:
                    seen[name] = int(file.read())
            except OSError:
                pass
        return seen
    return {}


def all_counters(pid):
    """All that KVM counted for a process's machine and that is not 0; empty without the right to see it."""
    seen = {}
    for path in glob.glob(f"{DEBUG}/kvm/{pid}-*/*"):
        try:
            with open(path, encoding="ascii") as file:
                seen[os.path.basename(path)] = int(file.read())
        except (OSError, ValueError):
            pass  # a folder, or a table
    return {name: count for name, count in seen.items() if count != 0}


def watch_phases(one, deadline):
    """What a guest did at work and idle: nanoseconds, of work by its own clock, and what KVM counted meanwhile."""
    monitor = start(one["command"], deadline)
    seen = None
    try:
        if monitor.line_after("axvm: work") is not None:
            before = counters(monitor.pid)
            os.write(monitor.stdin, b"\n")
            if not monitor.pending:
                monitor.wait_for_output()
            counted = counted_since(before, monitor.pid)
            did = monitor.line_after("axvm: did ")
            if did is not None and monitor.line_after("axvm: idle") is not None:
                nanoseconds, check = did.split()
                seen = {"work": {"ns": int(nanoseconds), "counted": counted}, "check": check}
                seen["idle"] = idle(monitor.pid, one["idle"])
    finally:
        said = monitor.end()
    return seen or {"error": last_line(said) or "the guest ended early"}


def idle(pid, seconds):
    """Nothing is asked of the guest meanwhile; it has a second to come to rest."""
    time.sleep(1)
    before, begin = counters(pid), time.monotonic_ns()
    time.sleep(seconds)
    return {"counted": counted_since(before, pid), "ns": time.monotonic_ns() - begin}


def counted_since(before, pid):
    after = counters(pid)
    return {key: after[key] - before[key] for key in before if key in after}


# ---- bytes of a guest ----------------------------------------------------------------------------------------------


def processor_time(pid):
    """Nanoseconds that a process has computed so far, all its threads together; None when it has ended."""
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)  # its CPU clock, as clock_getcpuclockid() makes it
    except OSError:
        return None


def processor_time_since(before, pid):
    """Since `before`, which processor_time() gave; 0 when the process has ended."""
    after = processor_time(pid)
    return 0 if before is None or after is None else after - before


def watch_marks(one, deadline):
    """Nanoseconds of processor time from each byte that the guest writes to the next one, in rounds that begin with S,
    until it writes X. Whatever else the machine does, and whoever reads the bytes, is not in them."""
    monitor = start(one["command"], deadline)
    times, text = [], b""
    try:
        while not text.endswith(b"X") and monitor.wait_for_output():
            times += [processor_time(monitor.pid)] * len(monitor.pending)
            text, monitor.pending = text + monitor.pending, b""
    finally:
        said = monitor.end()
    if not text.endswith(b"X"):
        return {"error": last_line(said) or "the guest ended early"}
    length = one["kinds"] + 1
    rounds = [times[i : i + length] for i in range(0, len(times) - 1, length)]
    return {"rounds": [[end - begin for begin, end in zip(marks, marks[1:])] for marks in rounds if None not in marks]}


# ---- the kernel's trace --------------------------------------------------------------------------------------------


class Trace:
    """When a process became a program, when that first entered a guest, and when the guest first wrote to its serial
    port: three events of the kernel's trace, in an instance of our own. And how often the guest left for which reason:
    a table that the kernel keeps, of all guests; there is one at a time."""

    REASONS = "events/kvm/kvm_exit"
    TABLE = "hist:keys=isa,exit_reason:size=256"
    EVENTS = {"sched/sched_process_exec": "", "kvm/kvm_entry": "", "kvm/kvm_pio": "port == 0x3f8"}

    def __init__(self):
        base = next((path for path in ("/sys/kernel/tracing", f"{DEBUG}/tracing") if os.path.exists(f"{path}/instances")), None)
        if base is None:
            sys.exit("observe: the kernel's trace (tracefs) cannot be used: this needs root; --lab has it")
        self.base = f"{base}/instances/axvm-bench"
        os.makedirs(self.base, exist_ok=True)
        self.write("buffer_size_kb", "256")
        self.write("options/overwrite", "0")  # what comes first is what matters
        self.write("options/event-fork", "1")
        self.write("trace_clock", "mono")
        for event, condition in self.EVENTS.items():
            if condition:
                self.write(f"events/{event}/filter", condition)
        self.table_of_reasons = False

    def write(self, name, text):
        with open(f"{self.base}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def begin(self, pid):
        self.write("trace", "")
        self.count_reasons()
        self.write("set_event_pid", str(pid))
        for event in self.EVENTS:
            self.write(f"events/{event}/enable", "1")
        self.write("tracing_on", "1")

    def count_reasons(self):
        """Begins to count exits by reason, from none; kernels without such tables do not."""
        try:
            if self.table_of_reasons:
                self.write(f"{self.REASONS}/trigger", f"!{self.TABLE}")
            self.write(f"{self.REASONS}/trigger", self.TABLE)
            self.table_of_reasons = True
        except OSError:
            self.table_of_reasons = False

    def reasons(self):
        """Exits so far by reason, "svm 0x72" or "vmx 0xa"."""
        if not self.table_of_reasons:
            return {}
        with open(f"{self.base}/{self.REASONS}/hist", encoding="ascii") as file:
            rows = re.findall(r"isa: +(\d+), exit_reason: +(\d+) .*hitcount: +(\d+)", file.read())
        return {f"{'vmx' if isa == '1' else 'svm'} {int(reason):#x}": int(count) for isa, reason, count in rows}

    def end(self, more=None):
        """Nanoseconds from the first event to the others, of those that were seen, and to `more`, clock readings by
        name."""
        self.write("tracing_on", "0")
        for event in self.EVENTS:
            self.write(f"events/{event}/enable", "0")
        first = {}
        with open(f"{self.base}/trace", encoding="utf-8", errors="replace") as file:
            for line in file:
                if found := re.search(r" (\d+)\.(\d+): (sched_process_exec|kvm_entry|kvm_pio):", line):
                    first.setdefault(found[3], int(found[1]) * 10**9 + int(found[2].ljust(9, "0")))
        first |= more or {}
        begin = first.get("sched_process_exec")
        return {name: at - begin for name, at in first.items() if begin is not None and at > begin}


def mappings_of(pid):
    """The mappings of a process, each with "what" it is, whether it is the "guest"'s memory, and KiB of "Size", "Rss" and
    "Anonymous"."""
    mappings = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        for line in file:
            name, *rest = line.split()
            if "-" in name and ":" not in name:
                low, high = (int(number, 16) for number in name.split("-"))
                place = os.path.basename(rest[4]) if len(rest) > 4 else "other"
                mappings.append({"what": f"{place} {rest[0]}", "guest": high - low >= LEAST_GUEST and rest[0].startswith("rw")})
            elif name in ("Size:", "Rss:", "Anonymous:"):
                mappings[-1][name[:-1]] = int(rest[0])
    return mappings


def memory_of(pid):
    """KiB of a process's memory: the guest's and all else, resident and of that anonymous; page tables; threads."""
    guest, rest = ([one for one in mappings_of(pid) if one["guest"] == whose] for whose in (True, False))
    seen = {
        "guest_rss": sum(one["Rss"] for one in guest),
        "rss": sum(one["Rss"] for one in rest),
        "anonymous": sum(one["Anonymous"] for one in rest),
        "size": sum(one["Size"] for one in guest),
    }
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            name, *rest = line.split()
            if name in ("VmPTE:", "Threads:"):
                seen[name[:-1]] = int(rest[0])
    return seen


def parts_of(pid):
    """KiB of a process's memory by mapping, (resident, anonymous); without the guest's."""
    parts = {}
    for one in mappings_of(pid):
        if not one["guest"] and one["Rss"] != 0:
            both = parts.setdefault(one["what"], [0, 0])
            both[0] += one["Rss"]
            both[1] += one["Anonymous"]
    return parts


def watch_memory(one, deadline):
    """The memory of the monitor when its guest has written its first byte, and has had a moment to halt."""
    monitor = start(one["command"], deadline)
    memory = None
    try:
        if monitor.wait_for_output():
            time.sleep(0.2)  # nothing tells when a guest has halted; and nothing more happens then
            memory = memory_of(monitor.pid) | {"parts": parts_of(monitor.pid)}
    finally:
        said = monitor.end()
    return {"memory": memory} if memory else {"error": last_line(said) or "the guest wrote nothing"}


def watch_start(one, deadline, trace):
    """Nanoseconds from exec to the guest's first instruction and to its first byte, and the memory at that time or, with
    "until", at that line."""
    monitor = start(one["command"], deadline, trace.begin)
    memory, counted, reasons, at = None, {}, {}, {}
    try:
        if "until" in one:
            up = monitor.line_after(one["until"]) is not None
        else:
            up = monitor.wait_for_output()
        if up:
            at = {"until": time.monotonic_ns()}
            counted, reasons = all_counters(monitor.pid), trace.reasons()
            memory = memory_of(monitor.pid)
    finally:
        times = trace.end(at)
        said = monitor.end()
    if memory is None:
        return {"error": last_line(said) or "the guest wrote nothing"}
    return {"times": times, "memory": memory, "counted": counted, "reasons": reasons}


# ---- disks ---------------------------------------------------------------------------------------------------------


def load(module, *parameters):
    """Loads a module of the lab's kernel; it may be there already."""
    subprocess.run(["insmod", module, *parameters], check=False, stderr=subprocess.DEVNULL)


def make_image(folder, job):
    """Makes the disk image; its path as the commands are to name it."""
    size, place = job["image"]["bytes"], folder
    in_lab = os.environ.get("AXVM_LAB") == "1"
    if in_lab:
        place = f"{STAGE}/disk"
        os.makedirs(place, exist_ok=True)
        for module in job["image"]["modules"]:
            load(module, *([f"rd_size={size // 1024 * 5 // 4}", "rd_nr=1"] if "brd" in module else []))
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", "/dev/ram0"], check=True)
        subprocess.run(["mount", "-t", "ext4", "/dev/ram0", place], check=True)
    with open(f"{place}/image", "wb") as file:
        for number in range(size // 4096):
            file.write(number.to_bytes(8, "little") * 512)
        file.flush()
        os.fsync(file.fileno())
    return "/disk/image" if in_lab else f"{place}/image"


# ---- networks ------------------------------------------------------------------------------------------------------


CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETPERSIST, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x400454CB, 2, 0x1000, 0x4000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8916, 0x891C, 0x8914, 0x41


def make_network(network):
    """Makes the interface in a namespace that this process and all it starts are in, and that ends with them. Returns
    what is to be kept for as long as the peer is to be there."""
    if os.environ.get("AXVM_LAB") == "1":
        for module in network["modules"]:
            load(module)
    for device in network["devices"]:
        if not os.path.exists(device):
            sys.exit(f"observe: this machine has no {device}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        sys.exit(f"observe: a network namespace: {os.strerror(ctypes.get_errno())}; this needs root; --lab has it")
    name = network["name"].encode()
    with open("/dev/net/tun", "r+b", buffering=0) as tun:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(tun, TUNSETPERSIST, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for what, address in ((SIOCSIFADDR, network["address"]), (SIOCSIFNETMASK, "255.255.255.0")):
            fcntl.ioctl(control, what, struct.pack("16sHH4s16x", name, socket.AF_INET, 0, socket.inet_aton(address)))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name, IFF_UP_RUNNING))
    peer = subprocess.Popen([network["peer"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if peer.stdout.readline() != b"ready\n":
        sys.exit("observe: the peer did not start")
    return peer


# ---- parts of a guest's work ---------------------------------------------------------------------------------------


def watch_parts(one, deadline):
    """What each part took: nanoseconds by the guest's clock and, where it counts them, its interrupts; the process's time,
    and what KVM counted."""
    monitor = start(one["command"], deadline)
    parts, over = {}, False
    try:
        while not over and (line := monitor.line()) is not None:
            if line.startswith("axvm: ready "):
                before, time_before = counters(monitor.pid), processor_time(monitor.pid)
                os.write(monitor.stdin, b"\n")
                if not monitor.pending:
                    monitor.wait_for_output()
                seen = {"counted": counted_since(before, monitor.pid), "cpu": processor_time_since(time_before, monitor.pid)}
                if (did := monitor.line_after("axvm: did ")) is not None:
                    figures = dict(zip(("ns", "interrupts"), map(int, did.split())))
                    parts[line.removeprefix("axvm: ready ")] = seen | figures
            over = line == "axvm: end"
    finally:
        said = monitor.end()
    return {"parts": parts} if over else {"error": last_line(said) or "the guest ended early", "parts": parts}


def watch_program(one, deadline):
    monitor = start(one["command"], deadline)
    figures = {}
    try:
        while (line := monitor.line()) is not None:
            name, number = line.rsplit(" ", 1)
            figures[name] = float(number)
    finally:
        said = monitor.end()
    return {"figures": figures} if figures else {"error": last_line(said)}


# ---- all of it -----------------------------------------------------------------------------------------------------


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def facts():
    """What the machine is that all this ran on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpus = file.read()
    model = re.search(r"^model name\s*: (.*)$", cpus, re.MULTILINE)
    return {
        "lab": os.environ.get("AXVM_LAB") == "1",
        "kernel": os.uname().release,
        "processors": len(os.sched_getaffinity(0)),
        "model": model[1] if model else "unknown",
    }


def save(folder, results):
    """Writes all there is so far, so that the file is whole whenever this ends."""
    with open(f"{folder}/part.json", "w", encoding="utf-8") as file:
        json.dump(results, file)
    os.replace(f"{folder}/part.json", f"{folder}/results.json")


def watched(one, job, trace):
    """What was seen of one run. In the lab a guest that ended early has up to two more: now and then its kernel stops with
    an oops there, whoever its monitor is, as if it were interrupted with interrupts off."""
    for last in (False, False, True) if os.environ.get("AXVM_LAB") == "1" else (True,):
        if one.get("fresh"):
            shutil.rmtree(os.path.join(os.environ["XDG_CACHE_HOME"], "axvm"), ignore_errors=True)
        deadline = time.monotonic() + job["timeout"]
        try:
            watch = {"start": lambda: watch_start(one, deadline, trace), "marks": lambda: watch_marks(one, deadline),
                     "memory": lambda: watch_memory(one, deadline), "parts": lambda: watch_parts(one, deadline),
                     "program": lambda: watch_program(one, deadline)}  # fmt: skip
            seen = watch.get(one["watch"], lambda: watch_phases(one, deadline))()
        except Late:
            seen, last = {"error": f"not done within {job['timeout']} s"}, True
        if "error" not in seen:
            return seen
        print(f"bench/{job['name']}: {one['key']}: {seen['error']}{'' if last else '; once more'}", file=sys.stderr, flush=True)
        if last:
            return seen


def main():
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # not without the monitor that is watched
    begin = time.monotonic()
    folder = sys.argv[1]
    with open(f"{folder}/job.json", encoding="utf-8") as file:
        job = json.load(file)
    processors = len(os.sched_getaffinity(0))
    job["starts"] = [one for one in job["starts"] if one.get("processors", 1) <= processors]
    if os.environ.get("AXVM_LAB") == "1":
        set_stage(job["files"])
        os.environ["XDG_CACHE_HOME"] = "/tmp"  # which the stage has, too: for kernels that are unpacked once
    if "image" in job:
        image = make_image(folder, job)
        for one in job["starts"]:
            one["command"] = [word.replace("@IMAGE@", image) for word in one["command"]]
    peer = make_network(job["network"]) if "network" in job else None
    trace = Trace() if any(one["watch"] == "start" for one in job["starts"]) else None
    results = {"host": facts(), "runs": {one["key"]: [] for one in job["starts"]}}
    # The first run of each program reads it from the disk: that is not what is measured.
    warm = {one["command"][0]: one for one in job["starts"]} if trace and not job.get("cold") else {}
    for one in warm.values():
        watch_start(one, time.monotonic() + job["timeout"], trace)
    for run in range(job["runs"]):
        # There and back: what comes later in a round is not always later.
        for one in job["starts"] if run % 2 == 0 else reversed(job["starts"]):
            print(f"bench/{job['name']}: run {run + 1} of {job['runs']}: {one['key']}", file=sys.stderr, flush=True)
            results["runs"][one["key"]].append(watched(one, job, trace))
            save(folder, results)
            if time.monotonic() - begin > job["seconds"]:
                print(f"bench/{job['name']}: the time is over", file=sys.stderr, flush=True)
                return
    if peer is not None:
        peer.communicate()


if __name__ == "__main__":
    main()
