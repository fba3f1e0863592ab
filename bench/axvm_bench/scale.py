"""The same work on more and more virtual processors: a guest's throughput, and the exits and wake-ups that it takes,
xv2_vmm beside QEMU's microvm with its fastest options, interleaved, in one run, medians of several.

The guest's only program gives every processor a thread bound to it; together they do a fixed amount of work in rounds,
with a barrier after each. Then nothing happens for a while: what still exits is what an idle guest costs.

Then the least of them once more in the lab whose clock counts instructions. More processors than two stand still there
sooner or later: one that waits for another looks at its flag until its time is over, and every look is counted."""

import argparse

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of, this_machine
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

SHARED, DEDICATED, PORTABLE, PEER = "xv2_vmm", "xv2_vmm, dedicated", "axvm, host's processor", "QEMU microvm"
COUNTED = {"exits": "exits", "halt_exits": "HLT exits", "halt_wakeup": "wake-ups", "user": "I/O exits", "irq_injections": "interrupts"}


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/scale", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vcpus", default="1,2,4,8,16,20", metavar="N,N", help="numbers of processors (default 1,2,4,8,16,20)")
    parser.add_argument("--counted", default="1,2", metavar="N,N", help="those where instructions are counted (default 1,2)")
    parser.add_argument("--only", choices=["clock", "instructions"], help="one of the two halves")
    parser.add_argument("--steps", type=int, default=1_000_000, metavar="N", help="of work in a round, of all processors together (default 1000000)")
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="with a barrier after each (default 50)")
    parser.add_argument("--idle", type=int, default=5, metavar="SECONDS", help="in which nothing happens (default 5)")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.steps, arguments.rounds, arguments.idle = 1, 100_000, 10, 1
        arguments.vcpus = arguments.counted = "1"
    return arguments


def starts_of(lab, arguments, counts):
    """(vCPUs, who) and how. A dedicated processor needs one of the host's: observe.py leaves out what has none."""
    xv2, portable, kernel = lab.xv2_vmm(), str(lab.program("portable_monitor.cpp")), lab.kernel()
    initrd = guests.initrd(lab.program("guest_work.cpp"), RESULTS / "work.cpio")
    # The profile's processor has weaknesses that the host's may not have, and no register that vouches for its clock: a
    # kernel would do more for it in one guest than in the other. xv2_vmm gives the second option by default.
    alike = "mitigations=off tsc=nowatchdog"
    append = f"quiet cryptomgr.notests {alike} AXVM_STEPS={arguments.steps} AXVM_ROUNDS={arguments.rounds}"
    starts = {}
    for count in counts:
        what = {"memory": "512M", "vcpus": count, "append": append}
        starts[count, SHARED] = monitors.xv2_vmm(xv2, kernel, initrd, **what, more=["--cpu-use", "shared"])
        starts[count, PORTABLE] = [portable, kernel, initrd, str(512 << 20), str(count), monitors.cmdline(append)]
        starts[count, PEER] = monitors.qemu_microvm(kernel, initrd, **what)
        starts[count, DEDICATED] = monitors.xv2_vmm(xv2, kernel, initrd, **what, more=["--cpu-use", "dedicated"])
    return starts


def job_of(starts, arguments):
    job = {"name": "scale", "timeout": 300, "starts": []}
    for (count, who), command in starts.items():
        one = {"key": f"{count} {who}", "watch": "phases", "command": command, "idle": arguments.idle}
        job["starts"].append(one | ({"processors": count} if who == DEDICATED else {}))
    return job


class Seen:
    """The runs of one start."""

    def __init__(self, runs):
        self.runs = runs
        self.error = next((run["error"] for run in runs if "error" in run), None)

    def seconds(self, phase):
        return median(run[phase]["ns"] / 1e9 for run in self.runs if phase in run)

    def rate(self, phase, what):
        """Times a second, None where KVM's counters could not be seen."""

        def of(run):
            counted = run[phase]["counted"]
            if not counted:
                return None
            number = counted["io_exits"] + counted["mmio_exits"] if what == "user" else counted[what]
            return number / (run[phase]["ns"] / 1e9)

        return median(of(run) for run in self.runs if phase in run)


def check_sums(seen):
    """Every guest with as many processors must have come to the same result."""
    for count in {count for count, _ in seen}:
        sums = {run["check"] for (n, _), one in seen.items() if n == count for run in one.runs if "check" in run}
        if len(sums) > 1:
            raise SystemExit(f"bench/scale: guests of {count} processors differ in what they computed: {sorted(sums)}")


def throughput_table(report, seen, counts, steps, unit):
    first = seen[counts[0], SHARED].seconds("work")
    rows = []
    for (count, who), one in seen.items():
        if (seconds := one.seconds("work")) is None:
            continue
        rows.append([count, who, number(steps / seconds / 1e6, 1), ratio(first, seconds), ratio(seen[count, PEER].seconds("work"), seconds)])
    head = ["vCPUs", "monitor", f"million steps per {unit}", f"to {SHARED} with {counts[0]}", "to QEMU"]
    report.table("Throughput; more is better", head, rows)


def rates_table(report, title, seen, phase, each):
    """Counters per second, of all processors or of each, and their ratios to QEMU's."""
    rows = []
    for (count, who), one in seen.items():
        if one.seconds(phase) is None:
            continue
        peer, by = seen[count, PEER], count if each else 1
        cells = []
        for what in COUNTED:
            rate = one.rate(phase, what)
            cells.append(number(None if rate is None else rate / by, 1 if each else 0))
        rows.append([count, who, *cells, ratio(one.rate(phase, "exits"), peer.rate(phase, "exits")),
                     ratio(one.rate(phase, "halt_wakeup"), peer.rate(phase, "halt_wakeup"))])  # fmt: skip
    report.table(title, ["vCPUs", "monitor", *COUNTED.values(), "exits / QEMU's", "wake-ups / QEMU's"], rows)


def measure(report, arguments, counts, icount):
    """One half of the report; what was seen, and what failed."""
    lab = Lab("scale", arguments, icount=icount, short_slices=icount)
    starts = starts_of(lab, arguments, counts)
    results = lab.run(job_of(starts, arguments))
    seen = {key: Seen(runs) for key in starts if (runs := results["runs"].get(f"{key[0]} {key[1]}"))}
    check_sums(seen)
    host, unit = results["host"], "second"
    if icount:
        unit = "billion instructions"
        report.text(f"In the lab, by a clock that counts instructions, the guest's, the monitor's and those of the kernel beneath "
                    f"them: a billion to its second. {medians_of(seen)}")  # fmt: skip
    else:
        where = ("In the lab, whose one emulated processor all virtual ones share: times are an emulator's and say nothing but as "
                 "ratios within this run, and no throughput can grow with the number of processors. Numbers of exits and wake-ups "
                 "are KVM's own." if host["lab"] else
                 this_machine(host))  # fmt: skip
        report.text(f"{where} QEMU {monitors.qemu_version()}, `-M {monitors.MICROVM} -bios qboot.rom`. {arguments.rounds} rounds "
                    f"of {arguments.steps:,} steps, shared out among the processors, with a barrier after each. Both kernels have "
                    f"`mitigations=off tsc=nowatchdog`, for their processors differ. {medians_of(seen)} `{SHARED}` is `--cpu-use "
                    f"shared`; `dedicated` needs a processor of the host for each of the guest's, and has a row where there are as "
                    f"many. `{PORTABLE}` is a machine of the profile Portable, as QEMU's is: where the host is no Intel, as in the "
                    f"lab, a guest that sees a Xeon cannot make hypercalls, and waits for locks in loops.")  # fmt: skip
    throughput_table(report, seen, [count for count, who in seen if who == SHARED], arguments.steps * arguments.rounds, unit)
    rates_table(report, f"While they work, per {unit}", seen, "work", each=False)
    rates_table(report, f"Idle, for {arguments.idle} s, per {unit} and processor", seen, "idle", each=True)
    failed = [f"{count} vCPUs, {who}: {one.error}" for (count, who), one in seen.items() if one.error]
    if failed:
        report.text("Failed:\n\n" + "\n".join(f"- {line}" for line in failed))
    return results, failed


def main(argv=None):
    arguments = parse(argv)
    counts, counted = ([int(text) for text in texts.split(",")] for texts in (arguments.vcpus, arguments.counted))
    report, measured, failed = Report("scale", "One to twenty processors"), {}, []
    if arguments.only != "instructions":
        measured["clock"], late = measure(report, arguments, counts, icount=False)
        failed += late
    if arguments.only != "clock" and not arguments.host:
        measured["instructions"], late = measure(report, arguments, counted, icount=True)
        failed += late
    if not arguments.quick:
        report.save(measured)
    return 1 if failed else 0
