"""What a monitor takes of memory beside its guest's, when a guest of 128 MiB has halted: resident, and of that
anonymous. The core monitor is the Xv2 machine configured in C++, alone; xv2_vmm has everything, and what each part adds
is a row of its own. QEMU's microvm is the peer, a bare loop around KVM the floor. In turns, medians of several."""

import argparse
import os
import tempfile

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

GUEST = 128 << 20
FLOOR, CORE, OURS, PEER = "bare KVM", "core monitor", "xv2_vmm", "QEMU microvm"
KIB = 1024
# KiB: of what, with which column of the table it is compared.
GOALS = [(f"{CORE}, 1 vCPU", "rss", 1024), (f"{OURS}, 1 vCPU", "rss", 3 * 1024), (f"{OURS}, 1 vCPU", "anonymous", 512)]
CORE_FILE = 1.1 * 1024  # KiB, static and stripped


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/memory", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs = 1
    return arguments


def starts_of(lab, quick):
    """Every start there is: its name and how."""
    tiny, disk = guests.tiny_kernel(RESULTS / "tiny.bzImage"), RESULTS / "memory.disk"
    disk.write_bytes(bytes(1 << 20))
    small = ["-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    core = str(lab.program("core_monitor.cpp", flags=small))
    xv2 = lab.xv2_vmm()

    def ours(*more, vcpus=1):
        return monitors.xv2_vmm(xv2, tiny, memory="128M", vcpus=vcpus, more=more)

    off = ["--no-rng0.enabled", "--no-balloon0.enabled"]
    starts = {FLOOR: [str(lab.program("bare.cpp")), str(GUEST)]}
    starts[f"{CORE}, 1 vCPU"] = [core, tiny, str(GUEST), "1"]
    starts[f"{OURS}, 1 vCPU"] = ours()
    if quick:
        return core, starts
    starts[f"{CORE}, 20 vCPUs"] = [core, tiny, str(GUEST), "20"]
    starts[f"{CORE}, 1 vCPU, a disk"] = [core, tiny, str(GUEST), "1", str(disk)]
    starts[f"{OURS}, 20 vCPUs"] = ours(vcpus=20)
    starts[f"{OURS}, without entropy and balloon"] = ours(*off)
    for what, more in {"a disk": ["--disk", str(disk)], "eight disks": 8 * ["--disk", str(disk) + ",ro"],
                       "a disk of one queue": ["--disk", str(disk), "--blk0.queues", "1"],
                       "a vsock": ["--vsock0.path", f"{tempfile.gettempdir()}/axvm-bench.{os.getpid()}"]}.items():  # fmt: skip
        starts[f"{OURS}, {what}"] = ours(*more)
    starts[f"{PEER}, 1 vCPU"] = monitors.qemu_microvm(tiny, memory="128M")
    starts[f"{PEER}, 20 vCPUs"] = monitors.qemu_microvm(tiny, memory="128M", vcpus=20)
    return core, starts


class Seen:
    """The runs of one start."""

    def __init__(self, runs):
        self.runs = runs
        self.error = next((run["error"] for run in runs if "error" in run), None)

    def memory(self, what):
        return median(run["memory"].get(what) for run in self.runs if "memory" in run)


def mappings_table(report, title, one):
    """Where the resident memory of a start's first run lies."""
    parts = next((run["memory"]["parts"] for run in one.runs if "memory" in run), {})
    rows = [[name, number(rss), number(anonymous)] for name, (rss, anonymous) in sorted(parts.items(), key=lambda part: -part[1][0])]
    report.table(title, ["mapping", "RSS, KiB", "anonymous, KiB"], rows)


def main(argv=None):
    arguments = parse(argv)
    lab = Lab("memory", arguments, host=not arguments.lab)
    core, starts = starts_of(lab, arguments.quick)
    job = {"name": "memory", "timeout": 60, "starts": []}
    for key, command in starts.items():
        job["starts"].append({"key": key, "watch": "memory", "command": command})
    results = lab.run(job)
    seen = {key: Seen(results["runs"][key]) for key in starts}

    report = Report("memory", "Memory of the monitor")
    host = results["host"]
    report.text(f"{'In the lab' if host['lab'] else 'On this machine: ' + host['model']}, Linux {host['kernel']}. QEMU "
                f"{monitors.qemu_version()}. {medians_of(seen)} All of our monitors are statically linked, so that what they have of "
                f"libraries is in their own figures; the kernel counts pages of a file that lie beside a used one, too.")  # fmt: skip
    base = {who: seen.get(f"{who}, 1 vCPU") for who in (CORE, OURS, PEER)}
    rows = []
    for key, one in seen.items():
        if one.memory("rss") is None:
            continue
        first = next((base[who] for who in base if key.startswith(who)), None)
        more = [None if first is None else one.memory(what) - first.memory(what) for what in ("rss", "anonymous")]
        peer = base[PEER].memory("rss") if base[PEER] else None
        rows.append([key, *(number(one.memory(what)) for what in ("rss", "anonymous", "VmPTE", "Threads")), *map(number, more), ratio(one.memory("rss"), peer)])
    report.table("Beside the guest's memory", ["monitor", "RSS, KiB", "anonymous, KiB", "page tables, KiB", "threads", "RSS over 1 vCPU",
                                               "anonymous over 1 vCPU", "RSS / QEMU's"], rows)  # fmt: skip
    shown = [FLOOR, *(key for key in seen if key.endswith("1 vCPU"))]
    report.bars("memory", "Resident beside a guest of 128 MiB with 1 vCPU, KiB", [(key, seen[key].memory("rss")) for key in shown], 0)
    mappings_table(report, f"{CORE}, 1 vCPU, by mapping", seen[f"{CORE}, 1 vCPU"])
    mappings_table(report, f"{OURS}, 1 vCPU, by mapping", seen[f"{OURS}, 1 vCPU"])
    verdicts = [(f"`{key}`, {'RSS' if what == 'rss' else what}", seen[key].memory(what), goal) for key, what, goal in GOALS]
    verdicts.append(("the core monitor's file, static and stripped", os.path.getsize(core) / KIB, CORE_FILE))
    report.table("Goals", ["what", "KiB", "goal", "met"],
                 [[what, number(value), number(goal), "yes" if value is not None and value <= goal else "no"] for what, value, goal in verdicts])  # fmt: skip
    failed = [f"{key}: {one.error}" for key, one in seen.items() if one.error]
    if failed:
        report.text("Failed:\n\n" + "\n".join(f"- {line}" for line in failed))
    if not arguments.quick:
        report.save(results)
    return 1 if failed else 0
