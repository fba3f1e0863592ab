"""What one exit costs, from the guest's instruction to the next one: port write, port read, MMIO write, MMIO read. The
floor is a bare loop around KVM_RUN; beside it machines of 1, 8 and 32 devices that do nothing, and QEMU, all with the
same guest, in turns, medians of several rounds.

Nanoseconds are of the monitor's processor time, the kernel's and the guest's in it, on this machine's own KVM; in the
lab its clock counts instructions, the kernel's too. The instructions of
the monitor alone, without the kernel's, are counted by valgrind: they are exact, on every machine that has KVM."""

import argparse
import re
import struct
import subprocess

from axvm_bench import monitors
from axvm_bench.lab import HERE, Lab, add_flags
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number

KINDS = ["port write", "port read", "MMIO write", "MMIO read"]
FLOOR, PEERS = "bare loop", {"QEMU microvm": monitors.MICROVM.replace(",memory-backend=ram", ""), "QEMU q35": "q35"}
COUNTED_PEER = "QEMU microvm"  # valgrind takes its time with it, and q35 goes the same way
SIZES = [1, 8, 32]
UNCLAIMED = (0x9999, 0xD3000000)  # nothing is there, in any of them
MOST, MOST_APART = 60, 10  # instructions over the bare loop, and between 1 device and 32


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/exit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--exits", type=int, default=3_000, metavar="N", help="of each kind in a round (default 3000)")
    parser.add_argument("--rounds", type=int, default=6, metavar="N", help="of each run (default 6)")
    parser.add_argument("--no-count", action="store_true", help="no instructions: no valgrind")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.exits, arguments.rounds = 1, 500, 1
    return arguments


def images(name, counts, rounds, place):
    """The guest, flat and as firmware, that makes so many accesses of each kind to this port and address."""
    made = {}
    for kind, flags, base in (("flat", [], "0x10000"), ("firmware", ["--defsym", "ROM=1"], "0xf0000")):
        plain, path = RESULTS / f"exit_guest.{kind}", RESULTS / f"exit_guest.{name}.{kind}"
        subprocess.run(["as", *flags, "-o", f"{plain}.o", str(HERE / "exit_guest.S")], check=True)
        subprocess.run(["ld", "-Ttext", base, "-e", "base", "--oformat", "binary", "-o", str(plain), f"{plain}.o"], check=True)
        image = bytearray(plain.read_bytes())
        struct.pack_into("<7I", image, 4, *counts, rounds, *place)
        path.write_bytes(image)
        made[kind] = str(path)
    return made


def qemu(machine, firmware):
    command = [monitors.QEMU, "-accel", "kvm", "-cpu", "host", "-machine", machine, "-bios", firmware, "-m", "128M"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    return [*command, "-device", "isa-debug-exit,iobase=0x501"]


class Starts:
    """The monitors there are, each with the place that its guest accesses."""

    def __init__(self, lab, sizes):
        self.bare = lab.program("exit_bare.cpp")
        self.machines = {size: lab.program("exit_machine.cpp", f"exit_machine_{size}", [f"-DDEVICES={size}"]) for size in sizes}

    def places(self, size):
        """Port and address of the first, the middle and the last device."""
        text = subprocess.run([str(self.machines[size])], capture_output=True, text=True, check=True).stdout
        return [tuple(map(int, line.split())) for line in text.splitlines()]

    def all(self):
        """(who, place, command of an image)."""
        yield FLOOR, UNCLAIMED, lambda made: [str(self.bare), made["flat"]]
        for size, program in self.machines.items():
            for where, place in zip(("first", "middle", "last"), self.places(size)):
                if size == 1 and where != "first":
                    continue
                who = f"axvm, {size} device{'s' * (size > 1)}" + (f", the {where}" if size > 1 else "")
                yield who, place, lambda made, program=program: [str(program), made["flat"]]
        most = max(self.machines)
        yield f"axvm, {most} devices, none of them", UNCLAIMED, lambda made: [str(self.machines[most]), made["flat"]]
        for who, machine in PEERS.items():
            yield who, UNCLAIMED, lambda made, machine=machine: qemu(machine, made["firmware"])


# ---- time ----------------------------------------------------------------------------------------------------------


def job_of(starts, arguments):
    job = {"name": "exit", "timeout": 120, "starts": []}
    for number_, (who, place, command) in enumerate(starts.all()):
        made = images(f"{number_}", [arguments.exits] * len(KINDS), arguments.rounds, place)
        job["starts"].append({"key": who, "watch": "marks", "kinds": len(KINDS), "command": command(made)})
    return job


def times_of(results, exits):
    """Nanoseconds, or instructions, of an exit by who and kind."""
    seen = {}
    for who, runs in results["runs"].items():
        rounds = [one for run in runs for one in run.get("rounds", [])]
        seen[who] = [median(one[kind] / exits for one in rounds) for kind in range(len(KINDS))]
    return seen


def times_table(report, title, seen, digits=0):
    rows = []
    for who, costs in seen.items():
        over = [None if cost is None or floor is None else cost - floor for cost, floor in zip(costs, seen[FLOOR])]
        rows.append([who, *(number(cost, digits) for cost in costs), *(number(one, digits) for one in over)])
    report.table(title, ["monitor", *KINDS, *(f"{kind}, over bare" for kind in KINDS)], rows)


# ---- instructions --------------------------------------------------------------------------------------------------


def instructions(command):
    """That a program's own code executes from its start to its end."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=600)  # fmt: skip
    found = re.search(rb"Collected : (\d+)", done.stderr)
    if not found or b"X" not in done.stdout:
        raise SystemExit(f"bench/exit: {command[0]} did not run under valgrind:\n{done.stderr.decode(errors='replace')}")
    return int(found[1])


def counted(starts, quick):
    """The monitor's instructions for one exit by who and kind: of a thousand more exits, a thousandth."""
    seen = {}
    for who, place, command in starts.all():
        if who in PEERS and (quick or who != COUNTED_PEER):
            continue
        print(f"bench/exit: counting {who}", flush=True)
        exits = 2000 if who in PEERS else 1000
        none = instructions(command(images("counted", [0] * len(KINDS), 1, place)))
        seen[who] = []
        for kind in range(len(KINDS)):
            counts = [exits if kind == one else 0 for one in range(len(KINDS))]
            seen[who].append((instructions(command(images("counted", counts, 1, place))) - none) / exits)
    return seen


def verdict(seen):
    """How far the goals are met, in words; and whether the first one is."""
    over = {who: [cost - floor for cost, floor in zip(costs, seen[FLOOR])] for who, costs in seen.items() if "devices, none" not in who}
    few = next(costs for who, costs in over.items() if who.startswith("axvm, 1 "))
    ours = [costs for who, costs in over.items() if who.startswith("axvm")]
    most = max(max(costs) for costs in ours)
    said = f"At most {most:.0f} instructions over the bare loop (the goal is {MOST})"
    if len(ours) > 1:
        apart = max(cost - one for costs in ours for cost, one in zip(costs, few))
        said += f", and {apart:.0f} more with {max(SIZES)} devices than with one (the goal is {MOST_APART})"
    return f"{said}.", most <= MOST


def main(argv=None):
    arguments = parse(argv)
    report = Report("exit", "One exit")
    measured = {}
    lab = None
    for icount in (False, True):
        if arguments.host if icount else arguments.lab:
            continue
        if icount and arguments.quick and not arguments.lab:
            continue
        lab = Lab("exit", arguments, icount=icount, host=not icount)
        starts = Starts(lab, [1] if arguments.quick else SIZES)
        results = lab.run(job_of(starts, arguments))
        measured["lab" if icount else "host"] = results
        host = results["host"]
        where = (f"On this machine: {host['model']}, Linux {host['kernel']}." if not icount else
                 "In the lab every instruction counts, the monitor's and those of the kernel beneath it.")  # fmt: skip
        failed = [f"{who}: {run['error']}" for who, runs in results["runs"].items() for run in runs if "error" in run]
        report.text(f"{where} {arguments.exits:,} exits of each kind in a round, {arguments.rounds * arguments.runs} rounds, in turns, "
                    f"medians. QEMU {monitors.qemu_version()}; its guest's accesses find no device, as those of the row “none of "
                    f"them” do; a device's own function does nothing.")  # fmt: skip
        if failed:
            report.text("Failed:\n\n" + "\n".join(f"- {line}" for line in failed))
        title = "Instructions of one exit, the kernel's included" if icount else "Nanoseconds of processor time of one exit"
        times_table(report, title, times_of(results, arguments.exits))
    met = True
    if not arguments.no_count and not arguments.lab:
        lab.need("valgrind", "binutils")
        seen = counted(starts, arguments.quick)
        measured["instructions"] = seen
        times_table(report, "Instructions of one exit in the monitor's own process, by valgrind; libc's ioctl is in all of them", seen)
        report.bars("exit", "Instructions of a port write in the monitor's own process", [(who, costs[0]) for who, costs in seen.items()], 0)
        words, met = verdict(seen)
        report.text(words)
    if not arguments.quick:
        report.save(measured)
    return 0 if met else 1
