"""Starting a machine, by the size of its memory: what it takes from exec to the guest's first instruction, and how much
memory the monitor then has beside the guest's. xv2_vmm, QEMU's microvm with its fastest options, and a bare C++ loop
around KVM as the floor; interleaved, in one run, medians of several.

The times are the kernel's own (its trace). In the lab its clock counts instructions: they repeat, on every machine."""

import argparse

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
TINY, DEBIAN = "tiny", "debian"
FLOOR, OURS, PEER = "bare KVM", "xv2_vmm", "QEMU microvm"


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/startup", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="128M,4G,64G,1023G,1T", metavar="SIZE,SIZE", help="of guest memory (default 128M,4G,64G,1023G,1T)")
    parser.add_argument("--linux-sizes", default="128M,4G", metavar="SIZE,SIZE", help="of guests that boot Linux (default 128M,4G)")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.sizes, arguments.linux_sizes, arguments.runs = "128M", "", 1
    return arguments


def bytes_of(size):
    return int(size[:-1]) * UNITS[size[-1]] if size[-1] in UNITS else int(size)


def starts_of(lab, sizes, linux_sizes):
    """Every start there is: (guest, size, who) and how."""
    tiny = guests.tiny_kernel(RESULTS / "tiny.bzImage")
    bare, xv2 = lab.program("bare.cpp"), lab.xv2_vmm()
    starts = {}
    for size in sizes:
        starts[TINY, size, FLOOR] = [str(bare), str(bytes_of(size))]
        starts[TINY, size, OURS] = monitors.xv2_vmm(xv2, tiny, memory=size)
        starts[TINY, size, PEER] = monitors.qemu_microvm(tiny, memory=size)
    if linux_sizes:
        kernel, initrd = lab.kernel(), guests.initrd(lab.program("guest_work.cpp"), RESULTS / "work.cpio")
        quiet = "quiet cryptomgr.notests"
        for size in linux_sizes:
            starts[DEBIAN, size, OURS] = monitors.xv2_vmm(xv2, kernel, initrd, size, append=quiet)
            starts[DEBIAN, size, PEER] = monitors.qemu_microvm(kernel, initrd, size, append=quiet)
    return starts


def job_of(starts):
    job = {"name": "startup", "timeout": 180, "starts": []}
    for (guest, size, who), command in starts.items():
        one = {"key": f"{guest} {size} {who}", "watch": "start", "command": command}
        job["starts"].append(one | ({"until": "axvm: work"} if guest == DEBIAN else {}))
    return job


class Seen:
    """The runs of one start, and their medians."""

    def __init__(self, runs):
        self.runs = runs
        self.error = next((run["error"] for run in runs if "error" in run), None)

    def time(self, event):
        """Nanoseconds from exec; in the lab, instructions."""
        return median(run["times"].get(event) for run in self.runs if "times" in run)

    def memory(self, what):
        return median(run["memory"].get(what) for run in self.runs if "memory" in run)


def spread(values):
    """How far from the median the farthest is, as a part of it."""
    middle = median(values)
    return max((abs(value - middle) / middle for value in values if value is not None), default=0)


def times_table(report, title, seen, guest, sizes, event, scale, digits):
    """Of an event, by size: of each monitor, over the floor where there is one, and ours to the peer's."""

    def scaled(time):
        return number(None if time is None else time / scale, digits)

    def over_floor(time, floor):
        return scaled(None if time is None or floor is None else time - floor)

    who = [FLOOR, OURS, PEER] if guest == TINY else [OURS, PEER]
    rows = []
    for size in sizes:
        ours, peer = (seen[guest, size, name].time(event) for name in (OURS, PEER))
        cells = [seen[guest, size, name].time(event) for name in who]
        figures = ["refused" if seen[guest, size, name].error and cell is None else scaled(cell) for name, cell in zip(who, cells)]
        if guest == TINY:
            figures += [over_floor(ours, cells[0]), over_floor(peer, cells[0])]
        rows.append([size, *figures, ratio(ours, peer)])
    over = [f"{OURS} over bare", "QEMU over bare"] if guest == TINY else []
    report.table(title, ["guest memory", *who, *over, f"{OURS} / QEMU"], rows)


def memory_table(report, title, seen, guest, sizes):
    """Of the monitors that started: what each takes, and ours to the peer's."""
    rows = []
    for size in sizes:
        for who in [FLOOR, OURS, PEER] if guest == TINY else [OURS, PEER]:
            one, peer = seen[guest, size, who], seen[guest, size, PEER]
            if one.memory("rss") is None:
                continue
            rows.append([size, who, *(number(one.memory(what)) for what in ("rss", "anonymous", "VmPTE", "guest_rss", "Threads")),
                         ratio(one.memory("rss"), peer.memory("rss")), ratio(one.memory("anonymous"), peer.memory("anonymous"))])  # fmt: skip
    head = ["guest memory", "monitor", "RSS, KiB", "anonymous, KiB", "page tables, KiB", "guest's own, KiB", "threads",
            "RSS / QEMU's", "anonymous / QEMU's"]  # fmt: skip
    report.table(title, head, rows)


def main(argv=None):
    arguments = parse(argv)
    sizes = arguments.sizes.split(",")
    linux_sizes = [size for size in arguments.linux_sizes.split(",") if size]
    lab = Lab("startup", arguments, icount=not arguments.host)
    starts = starts_of(lab, sizes, linux_sizes)
    results = lab.run(job_of(starts))
    seen = {key: Seen(results["runs"][" ".join(key)]) for key in starts}

    report = Report("startup", "Starting a machine")
    counts = results["host"]["lab"]
    unit, scale, digits = ("thousand instructions", 1e3, 0) if counts else ("ms", 1e6, 2)
    where = ("In the lab, on one emulated processor and 2 GiB of memory: every instruction counts, the monitor's and those of "
             "the kernel beneath it. Figures compare with each other, not with times on hardware."
             if counts else f"On this machine: {results['host']['model']}, Linux {results['host']['kernel']}.")  # fmt: skip
    spreads = [spread([run["times"].get("kvm_entry") for run in one.runs if "times" in run]) for one in seen.values()]
    report.text(f"{where} QEMU {monitors.qemu_version()}, `-M {monitors.MICROVM} -bios qboot.rom`. "
                f"{medians_of(seen)}")  # fmt: skip
    if any(len(one.runs) > 1 for one in seen.values()):
        report.text(f"In half of the rows all runs are within {100 * median(spreads):.0f} % of the median; the farthest is "
                    f"{100 * max(spreads):.0f} % off (where a process waits, the clock goes on).")  # fmt: skip
    if counts:
        report.text("What grows with the memory in the column of bare KVM is the kernel's work: this one is built with "
                    "CONFIG_KVM_EXTERNAL_WRITE_TRACKING, as Debian's is, and keeps 2 bytes for each 4 KiB of a guest, which "
                    "it clears when the memory is mapped. Nobody touches the memory itself.")  # fmt: skip
    times_table(report, f"From exec to the guest's first instruction, {unit}; for QEMU that is its firmware's", seen, TINY, sizes, "kvm_entry", scale, digits)
    times_table(report, f"From exec to the kernel's first instructions, {unit}: a kernel of a few instructions that writes one byte to the serial port", seen, TINY, sizes, "kvm_pio", scale, digits)
    memory_table(report, "Memory when that kernel has halted: the process without the guest's memory, and what the guest has of its own", seen, TINY, sizes)
    if linux_sizes:
        times_table(report, f"Debian's kernel, from exec to the guest's first instruction, {unit}; xv2_vmm has read kernel and initrd by then, QEMU's firmware is about to", seen, DEBIAN, linux_sizes, "kvm_entry", scale, digits)
        memory_table(report, "Debian's kernel, memory when its init runs", seen, DEBIAN, linux_sizes)
    refused = [f"`{size}`, {who}: {one.error}" for (guest, size, who), one in seen.items() if one.error]
    if refused:
        report.text("Refused:\n\n" + "\n".join(f"- {line}" for line in refused))
    if not arguments.quick:
        report.save(results)
    return 0
