"""A boot of Debian's cloud kernel, from exec to the first line of the guest's init: instructions, split into what the
monitor does before its guest begins and what passes from then on, and the guest's exits by reason. xv2_vmm's ways to boot
beside QEMU's microvm with its fastest options and its q35; 1 vCPU, 256 MiB, the same initrd and the same kernel options.

It runs in the lab, whose clock counts instructions; monitors, kernel and initrd lie in memory there. Runs that hang are
left out and told of; in turns, medians of several."""

import argparse

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

OURS, PEER = "xv2_vmm", "QEMU microvm"
FIRST = f"{OURS}, its first start"
QUICK_OPTIONS = "cryptomgr.notests"
# Of how much 1e9 instructions and exits may be.
GOALS = [(OURS, "until", 1.45e9), (f"{OURS}, --quick-boot", "until", 0.55e9), (OURS, "exits", 1000)]

# Basic exit reasons of AMD's SVM (APM volume 2, appendix C) and of Intel's VMX (SDM volume 3, appendix C).
REASONS = {
    "svm 0x0": "CR0 read", "svm 0x4": "CR4 read", "svm 0x30": "DR0 write", "svm 0x10": "CR0 write", "svm 0x14": "CR4 write", "svm 0x60": "interrupt for the host", "svm 0x64": "interrupt window",
    "svm 0x65": "CR0 write, other bits", "svm 0x72": "CPUID", "svm 0x77": "PAUSE", "svm 0x78": "HLT", "svm 0x7b": "port", "svm 0x7c": "MSR", "svm 0x81": "hypercall",
    "svm 0x89": "WBINVD", "svm 0x8d": "XSETBV", "svm 0x400": "nested page fault",
    "vmx 0x1": "interrupt for the host", "vmx 0x7": "interrupt window", "vmx 0xa": "CPUID", "vmx 0xc": "HLT", "vmx 0x12": "hypercall",
    "vmx 0x1c": "control register", "vmx 0x1e": "port", "vmx 0x1f": "MSR read", "vmx 0x20": "MSR write", "vmx 0x28": "PAUSE", "vmx 0x30": "EPT violation",
    "vmx 0x31": "EPT misconfiguration", "vmx 0x34": "preemption timer", "vmx 0x36": "WBINVD", "vmx 0x37": "XSETBV",
}  # fmt: skip


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/boot", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", metavar="TEXT", help="what has this in its name; repeat it for several")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.only = 1, [FIRST]
    return arguments


def q35(kernel, initrd, append):
    command = [monitors.QEMU, "-accel", "kvm", "-cpu", "host", "-machine", "q35", "-m", "256M", "-smp", "1"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    return [*command, "-kernel", kernel, "-initrd", initrd, "-append", f"console=ttyS0 panic=-1 pci=off {append}"]


def starts_of(lab):
    """Every start there is: its name and how."""
    xv2, kernel = lab.xv2_vmm(), lab.kernel()
    initrd = guests.initrd(lab.program("guest_work.cpp"), RESULTS / "work.cpio")
    vmlinux = lab.unpacked(kernel)

    def ours(*more):
        return monitors.xv2_vmm(xv2, kernel, initrd, append="quiet", more=more)

    starts = {FIRST: ours(), OURS: ours(), f"{OURS}, --no-unpack": ours("--no-unpack"), f"{OURS}, --quick-boot": ours("--quick-boot")}
    starts[f"{OURS}, --quick-boot --no-unpack"] = ours("--quick-boot", "--no-unpack")
    starts[PEER] = monitors.qemu_microvm(kernel, initrd, append="quiet")
    quick = f"quiet {QUICK_OPTIONS}"
    starts[f"{PEER}, the same options as --quick-boot, unpacked kernel"] = monitors.qemu_microvm(vmlinux, initrd, append=quick)
    starts["QEMU q35"] = q35(kernel, initrd, "quiet")
    return starts


class Seen:
    """The runs of one start that came to their end."""

    def __init__(self, runs):
        self.runs = [run for run in runs if "times" in run]
        self.errors = [run["error"] for run in runs if "error" in run]

    def time(self, event):
        """Instructions from exec."""
        return median(run["times"].get(event) for run in self.runs)

    def count(self, what):
        return median(run["counted"].get(what, 0) if run["counted"] else None for run in self.runs)

    def reason(self, what):
        return median(run["reasons"].get(what, 0) if run["reasons"] else None for run in self.runs)


def boots_table(report, seen):
    peer, rows = seen.get(PEER), []
    for who, one in seen.items():
        entry, console, until = (one.time(event) for event in ("kvm_entry", "kvm_pio", "until"))
        since = None if until is None or entry is None else until - entry
        rows.append([who, *(number(None if time is None else time / 1e6, 1) for time in (entry, since, console, until)),
                     number(one.count("exits")), ratio(entry, peer and peer.time("kvm_entry")), ratio(until, peer and peer.time("until"))])  # fmt: skip
    head = ["monitor", "exec to first guest instruction", "from there to init", "exec to first use of the serial port", "exec to init", "exits",
            "first instruction / microvm's", "init / microvm's"]  # fmt: skip
    report.table("Million instructions", head, rows)
    report.bars("boot", "Million instructions from exec to init", [(who, (one.time("until") or 0) / 1e6) for who, one in seen.items()], 0)


def reasons_table(report, seen):
    """How often the guest left for what reason."""
    reasons = {reason for one in seen.values() for run in one.runs for reason in run["reasons"]}
    rows = [[REASONS.get(reason, reason), *(number(one.reason(reason)) for one in seen.values())] for reason in sorted(reasons)]
    if rows:
        report.table("Exits until init by reason", ["reason", *seen], rows)


def counters_table(report, seen):
    """What KVM counted, of what was counted for anybody often enough to be told."""
    counted = {name for one in seen.values() for run in one.runs for name in run["counted"]}
    names = sorted(name for name in counted if name.endswith("exits") or name in ("pf_taken", "insn_emulation", "irq_injections", "hypercalls"))
    rows = [[name, *(number(one.count(name)) for one in seen.values())] for name in names]
    report.table("What KVM counted until init", ["counter", *seen], rows)


def main(argv=None):
    arguments = parse(argv)
    lab = Lab("boot", arguments, icount=True)
    starts = {who: how for who, how in starts_of(lab).items() if not arguments.only or any(text in who for text in arguments.only)}
    # By the lab's clock: 10e9 instructions, four times what the slowest takes; a run that spins in a lock never ends.
    job = {"name": "boot", "timeout": 10, "cold": True, "starts": []}
    for who, command in starts.items():
        job["starts"].append({"key": who, "watch": "start", "until": "axvm: work", "command": command, "fresh": who == FIRST})
    results = lab.run(job)
    seen = {who: one for who in starts if (one := Seen(results["runs"][who])).runs}

    report = Report("boot", "Booting Linux")
    report.text(f"In the lab, on one emulated processor: every instruction counts, the guest's, the monitor's and those of the kernel beneath it. "
                f"QEMU {monitors.qemu_version()}; microvm is `-M {monitors.MICROVM} -bios qboot.rom`. Kernel options for all: `console=ttyS0 "
                f"panic=-1 pci=off quiet`, and `{QUICK_OPTIONS}` where it says `--quick-boot`. {medians_of(seen)} In its first "
                f"start xv2_vmm unpacks the kernel, in the others it finds it unpacked; with `--no-unpack` the guest does it.")  # fmt: skip
    boots_table(report, seen)
    reasons_table(report, seen)
    counters_table(report, seen)
    rows = []
    for who, what, goal in GOALS:
        value = seen[who].count(what) if what == "exits" and who in seen else seen[who].time(what) if who in seen else None
        if value is not None:
            rows.append([f"{who}, {'exits' if what == 'exits' else 'instructions from exec to init'}", number(value), number(goal), "yes" if value <= goal else "no"])
    if rows:
        report.table("Goals", ["what", "measured", "goal", "met"], rows)
    left_out = [f"{who}: {error}" for who in starts for error in Seen(results["runs"][who]).errors]
    if left_out:
        report.text("Runs that were left out:\n\n" + "\n".join(f"- {line}" for line in left_out))
    if not arguments.quick:
        report.save(results)
    return 0 if seen else 1
