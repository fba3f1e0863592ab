"""Reads of a disk: requests a second with one and with many under way, MB a second in sequence, and what a request costs
in exits and in processor time. xv2_vmm beside QEMU's microvm with its fastest options, by three of its ways to read, on
the same image, interleaved, in one run, medians of several; then each once in the lab whose clock counts instructions.

Beside it stands the floor: what the guest's kernel takes for a request of a disk that does nothing (null_blk), and what
the kernel beneath takes to wake a thread and be woken, and to read a block of a file that it has in memory."""

import argparse
import os
import sys

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of, this_machine
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

OURS, FLOOR = {"xv2_vmm": "--disk", "xv2_vmm, PCI": "--pci-disk"}, "floor"
# How it reads, and whether by a thread of its own; each on MMIO, and where it says so on PCI. aio=native was no better than the best of these at any depth.
PEERS = {"QEMU, io_uring": ("io_uring", True), "QEMU, threads": ("threads", True), "QEMU, main loop": ("io_uring", False)}
SEQUENCE = 0  # as a depth
NO_SCHEDULER = ("none",)  # in a part
SCHEDULERS = {(): "mq-deadline", NO_SCHEDULER: "none"}
BLOCK, LARGE = 4096, 256 * 1024
GOALS = {1: 25_000, 16: 10_000}  # instructions a request, or twice the floor
RATE_GOAL = 2.5
# KVM puts the monitor's own registers back each time that it returns to it.
USER_EXITS = ["fpu_reload"]


def is_pci(who):
    return ", PCI" in who


def peers():
    """QEMU's ways: its name, the transport included, how it reads, and whether by a thread of its own."""
    for who, how in PEERS.items():
        yield who, *how
        yield who.replace(",", ", PCI,"), *how


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/virtio", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000, metavar="N", help="of 4 KiB, with one under way; with many twice as many (default 4000)")
    parser.add_argument("--patience", type=int, default=300, metavar="SECONDS", help="for a monitor where instructions are counted (default 300)")
    parser.add_argument("--processors", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="of the lab's machine, by the clock: with one the guest shares it with the disk's thread, with two that has its own (default 2, or what this machine has)")
    parser.add_argument("--only", choices=["clock", "instructions"], help="one of the two halves")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.requests = 1, 300
    return arguments


def parts_of(arguments, depth, sequence):
    """What the guest does: (disk, depth) and how many requests, and where sequences are not asked for once more without
    the guest's I/O scheduler, (disk, depth, "none"). The first of them warms everything up."""
    few, many = arguments.requests, 2 * arguments.requests
    parts = {("vda", 1): few, ("vda", depth): many, ("nullb0", 1): few, ("nullb0", depth): many}
    if sequence:
        return parts | {("vda", SEQUENCE): max(few // 20, 8)}
    return parts | {(*part, *NO_SCHEDULER): count for part, count in parts.items()}


def name_of(part, count):
    disk, depth, *scheduler = part
    return ":".join([disk, str(depth), str(count), *scheduler])


def starts_of(lab, parts):
    xv2, kernel = lab.xv2_vmm(), lab.kernel()
    names = ["vda:1:200", "empty", *(name_of(part, count) for part, count in parts.items())]
    what = {"memory": "256M", "append": f"quiet cryptomgr.notests AXVM_PARTS={','.join(names)}"}

    def initrd_with(transport):
        files = lab.modules("cloud", f"virtio_{transport}", "virtio_blk", "null_blk")
        # Of one queue, as the disk is for a guest of one processor: with its queue for polling it would have two, and
        # Linux does not schedule the requests of such a disk.
        modules = [(file, "nr_devices=1 queue_mode=2 irqmode=0 poll_queues=0 gb=1" if "null_blk" in file else "") for file in files]
        return guests.initrd(lab.program("guest_disk.cpp"), RESULTS / f"disk-{transport}.cpio", modules)

    initrds = {pci: initrd_with("pci" if pci else "mmio") for pci in (False, True)}
    starts = {}
    for who, flag in OURS.items():
        starts[who] = monitors.xv2_vmm(xv2, kernel, initrds[is_pci(who)], **what, pci=is_pci(who), more=[flag, "@IMAGE@"])
    # On one processor polling keeps the guest waiting; where there are several it is what comes first.
    thread = "iothread,id=thread" + (",poll-max-ns=0" if lab.is_emulated() and lab.processors == 1 else "")
    for who, engine, own_thread in peers():
        device = "virtio-blk-pci" if is_pci(who) else "virtio-blk-device"
        more = ["-global", "virtio-mmio.force-legacy=off", "-drive", f"file=@IMAGE@,if=none,id=disk,format=raw,aio={engine}"]
        more += ["-object", thread, "-device", f"{device},drive=disk,iothread=thread"] if own_thread else ["-device", f"{device},drive=disk"]
        starts[who] = monitors.qemu_microvm(kernel, initrds[is_pci(who)], **what, pci=is_pci(who), more=more)
    return starts


def job_of(lab, starts, floor, requests):
    modules = lab.modules("generic", "brd", "ext4")
    job = {"name": "virtio", "timeout": 240, "image": {"bytes": 64 << 20, "modules": modules}, "starts": []}
    job["starts"].append({"key": FLOOR, "watch": "program", "command": [str(floor), "@IMAGE@", str(requests)]})
    return job | {"starts": job["starts"] + [{"key": who, "watch": "parts", "command": command} for who, command in starts.items()]}


class Seen:
    """The runs of one start."""

    def __init__(self, runs, parts):
        self.runs, self.parts = runs, parts
        self.error = next((run["error"] for run in runs if "error" in run), None)

    def each(self, part, value):
        """The median of a figure of a part's runs, by its number of requests."""
        name = name_of(part, self.parts[part])
        found = [value(run["parts"][name], run["parts"].get("empty")) for run in self.runs if name in run.get("parts", {})]
        return median(one / self.parts[part] for one in found if one is not None)

    def time(self, part):
        return self.each(part, lambda did, _: did["ns"])

    def cpu(self, part):
        return self.each(part, lambda did, empty: did["cpu"] - empty["cpu"] if empty else None)

    def exits(self, part, names):
        """Without those that being measured costs itself, which vary by some ten: of few requests not even the first
        decimal is certain."""

        def count(did, empty):
            if not empty or not did["counted"] or not empty["counted"]:
                return None
            return max(0, sum(did["counted"][name] - empty["counted"][name] for name in names))

        return self.each(part, count)


class Floor:
    """What no monitor can do without."""

    def __init__(self, runs, seen):
        self.runs, self.seen = runs, seen

    def host(self, name):
        return median(run["figures"].get(name) for run in self.runs if "figures" in run)

    def guest(self, depth, scheduler=()):
        return median(one.time(("nullb0", depth, *scheduler)) for one in self.seen.values())

    def request(self, depth, scheduler=()):
        """With one request under way each takes a thread's waking and the guest's; of many, a batch does."""
        figures = [self.guest(depth, scheduler), self.host("pread"), self.host("ping-pong")]
        return None if None in figures else sum(figures[: 3 if depth == 1 else 2])


def floor_table(report, floor, depth, unit, scale, digits, schedulers=((),)):
    def row(what, figure):
        return [what, number(None if figure is None else figure / scale, digits)]

    each = [(under_way, scheduler, f"{under_way} under way" + (", no scheduler" if scheduler else "")) for scheduler in schedulers for under_way in (1, depth)]
    rows = [row(f"a request of the guest's null_blk, {how}", floor.guest(under_way, scheduler)) for under_way, scheduler, how in each]
    rows.append(row("one pread of 4 KiB that are in memory", floor.host("pread")))
    rows.append(row("an eventfd there and back between two threads", floor.host("ping-pong")))
    rows += [row(f"together, {how}", floor.request(under_way, scheduler)) for under_way, scheduler, how in each]
    report.table(f"The floor of a request, {unit} (of many under way, a batch shares the waking)", ["what", unit], rows)


def best_peer(seen, part, who_counts):
    """The shortest time of a part that QEMU took, of those ways that count."""
    times = (seen[who].time(part) for who, *_ in peers() if who in seen and who_counts(who))
    return min((time for time in times if time is not None), default=None)


# QEMU's microvm as it is, whose disks are on MMIO, and with the PCI bus that it can be given.
AGAINST = {"QEMU's best on MMIO": lambda who: not is_pci(who), "QEMU's best": lambda who: True}


def ratios(seen, part, time):
    """A time against the best of QEMU's, in the columns of AGAINST."""
    return [ratio(best_peer(seen, part, who_counts), time) for who_counts in AGAINST.values()]


def rates_table(report, seen, depth):
    rows = []
    for under_way in (1, depth):
        part = ("vda", under_way)
        for who, one in seen.items():
            if (time := one.time(part)) is None:
                continue
            exits, cpu = one.exits(part, USER_EXITS), one.cpu(part)
            rows.append([under_way, who, number(1e9 / time), *ratios(seen, part, time), number(exits, 2), number(one.exits(part, ["exits"]), 2),
                         number(None if cpu is None else cpu / 1e3, 1)])  # fmt: skip
    head = ["under way", "monitor", "requests/s", *(f"to {what}" for what in AGAINST), "exits to the monitor", "exits", "processor time, us"]
    report.table("Reads of 4 KiB at random; exits and time are of a request", head, rows)


def sequence_table(report, seen):
    part = ("vda", SEQUENCE)
    rows = [[who, number(LARGE * 1e3 / time, 0), *ratios(seen, part, time)] for who, one in seen.items() if (time := one.time(part)) is not None]
    report.table("Reads of 256 KiB in sequence", ["monitor", "MB/s", *(f"to {what}" for what in AGAINST)], rows)


def goals_table(report, seen, depth):
    """Of ours on its better transport."""
    rows = []
    for under_way in (1, depth):
        times = [time for who in OURS if (time := seen[who].time(("vda", under_way))) is not None]
        best = best_peer(seen, ("vda", under_way), AGAINST["QEMU's best on MMIO"])
        if times and best is not None:
            faster = best / min(times)
            rows.append([f"requests/s to QEMU's best on MMIO, {under_way} under way", f"{faster:.2f}", RATE_GOAL, "yes" if faster >= RATE_GOAL else "no"])
    report.table("Goals", ["what", "measured", "goal", "met"], rows)


def instructions_table(report, seen, floor, depth):
    rows = []
    for scheduler, name in SCHEDULERS.items():
        for under_way in (1, depth):
            part, least = ("vda", under_way, *scheduler), floor.request(under_way, scheduler)
            goal = None if least is None else max(GOALS[under_way], 2 * least)
            for who, one in seen.items():
                if (time := one.time(part)) is not None:
                    rows.append([name, under_way, who, number(time), number(least), ratio(time, least), number(goal), *ratios(seen, part, time)])
    head = ["scheduler", "under way", "monitor", "instructions a request", "floor", "to the floor", "goal", *(f"{what} to it" for what in AGAINST)]
    report.table("Reads of 4 KiB at random, instructions of the lab's machine a request; the goal is 25,000 and 10,000, or twice the floor where that is more", head, rows)


def run_apart(lab, starts, arguments, job):
    """Each start in a lab of its own, again where it hangs (see observe.watched): where instructions are counted runs are
    equal, and there is nothing to be in turns with."""
    lab.runs = 1
    results = {"runs": {}}
    for who in starts:
        for attempt in range(1, 4):
            seen = lab.run(job | {"starts": [one for one in job["starts"] if one["key"] in (FLOOR, who)]}, seconds=arguments.patience)
            if seen is not None:
                break
            print(f"bench/virtio: {who}: no end within {arguments.patience} s, attempt {attempt} of 3", file=sys.stderr, flush=True)
        results["runs"] |= seen["runs"] if seen is not None else {who: [{"error": "the lab hung three times"}]}
        results["host"] = seen["host"] if seen is not None else results.get("host")
    return results


def measure(arguments, depth, icount):
    lab = Lab("virtio", arguments, icount=icount, processors=1 if icount else arguments.processors)
    parts = parts_of(arguments, depth, sequence=not icount)
    starts = starts_of(lab, parts)
    job = job_of(lab, starts, lab.program("host_floor.cpp"), arguments.requests)
    results = run_apart(lab, starts, arguments, job) if icount else lab.run(job)
    seen = {who: Seen(results["runs"][who], parts) for who in starts}
    return results, seen, Floor(results["runs"].get(FLOOR, []), seen)


def tell_failures(report, seen):
    if failed := [f"{who}: {one.error}" for who, one in seen.items() if one.error]:
        report.text("Not all runs came to their end:\n\n" + "\n".join(f"- {line}" for line in failed))


def main(argv=None):
    arguments = parse(argv)
    report, measured, failed = Report("virtio", "Disks"), {}, False
    if arguments.only != "instructions":
        results, seen, floor = measure(arguments, 32, icount=False)
        measured["clock"] = results
        host = results["host"]
        emulated = "one emulated processor" if arguments.processors == 1 else f"{arguments.processors} emulated processors"
        where = (f"In the lab, on {emulated}: times are an emulator's and say nothing but as ratios within this run."
                 if host["lab"] else this_machine(host))  # fmt: skip
        report.text(f"{where} QEMU {monitors.qemu_version()}, `-M {monitors.MICROVM} -bios qboot.rom -device virtio-blk-device`, "
                    f"and with `pcie=on -device virtio-blk-pci`: with an "
                    f"iothread{', which does not poll where there is one processor,' if host['lab'] and arguments.processors == 1 else ''} and `aio=io_uring` "
                    f"or `aio=threads`, and with `aio=io_uring` in its main loop. An image of 64 MiB that the host has in memory, on ext4; the "
                    f"guest reads past its own cache (O_DIRECT). {medians_of(seen)}")  # fmt: skip
        floor_table(report, floor, 32, "us", 1e3, 1)
        rates_table(report, seen, 32)
        sequence_table(report, seen)
        goals_table(report, seen, 32)
        tell_failures(report, seen)
        failed |= any(seen[who].error for who in OURS)
    if arguments.only != "clock" and not arguments.host:
        results, seen, floor = measure(arguments, 16, icount=True)
        measured["instructions"] = results
        report.text("In the lab whose clock counts instructions: the guest's, the monitor's and those of the kernels of both. They "
                    "repeat, so each monitor ran once. First with the I/O scheduler that Linux gives a disk of one queue, whose "
                    "requests a thread of the guest's kernel sends, then without.")  # fmt: skip
        floor_table(report, floor, 16, "instructions", 1, 0, SCHEDULERS)
        instructions_table(report, seen, floor, 16)
        tell_failures(report, seen)
        failed |= any(seen[who].error for who in OURS)
    if not arguments.quick:
        report.save(measured)
    return 1 if failed else 0
