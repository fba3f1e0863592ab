"""A network card: datagrams a second of one sender and of two, MB a second over TCP either way, and messages that wait for
an answer, each with the guest's interrupts for it. xv2_vmm, and the same with interrupts for sent frames at once, beside
QEMU's microvm with its card in user space and in the kernel (vhost); a TAP interface in a network namespace of its own, the
peer in the same machine as the monitor; interleaved, in one run, medians of several."""

import argparse
import os
import sys

from axvm_bench import guests, monitors
from axvm_bench.lab import Lab, add_flags, medians_of, this_machine
from axvm_bench.report import RESULTS, Report
from axvm_bench.table import median, number, ratio

OURS, AT_ONCE, PEER, VHOST = "xv2_vmm", "xv2_vmm, tx-usecs 0", "QEMU", "QEMU, vhost"
TAP, ADDRESS, MAC = "axvmbench0", "10.9.0.1", "02:00:00:00:00:09"
MIB = 1 << 20


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/network", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, metavar="N", help="of each sender, 64 bytes each (default 20000)")
    parser.add_argument("--mib", type=int, default=64, metavar="N", help="over TCP, either way (default 64)")
    parser.add_argument("--messages", type=int, default=2000, metavar="N", help="that wait for an answer (default 2000)")
    parser.add_argument("--patience", type=int, default=90, metavar="SECONDS", help="for a monitor's run (default 90)")
    parser.add_argument("--processors", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="of the lab's machine and of the guest (default 2, or what this machine has)")
    parser.add_argument("--only", action="append", metavar="TEXT", help="monitors that have this in their names; repeat it for several")
    add_flags(parser, 3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.frames, arguments.mib, arguments.messages = 1, 500, 1, 100
    return arguments


def parts_of(arguments):
    """What the guest does: what it is called, its part, and how many of what it counts that is."""
    return {
        "datagrams, one sender": (f"datagrams:1:{arguments.frames}", arguments.frames),
        "datagrams, two senders": (f"datagrams:2:{arguments.frames}", 2 * arguments.frames),
        "messages": (f"echo:1:{arguments.messages}", arguments.messages),
        "out": (f"out:1:{arguments.mib}", arguments.mib * MIB),
        "in": (f"in:1:{arguments.mib}", arguments.mib * MIB),
    }


def starts_of(lab, parts, processors, only=None):
    kernel, xv2 = lab.kernel(), lab.xv2_vmm()
    modules = [(file, "") for file in lab.modules("cloud", "virtio_mmio", "virtio_net")]
    initrd = guests.initrd(lab.program("guest_net.cpp"), RESULTS / "network.cpio", modules)
    # The first part warms everything up.
    names = ["echo:1:50", *(part for part, _ in parts.values())]
    what = {"memory": "256M", "vcpus": processors, "append": f"quiet cryptomgr.notests mitigations=off AXVM_PARTS={','.join(names)}"}
    starts = {who: monitors.xv2_vmm(xv2, kernel, initrd, **what, more=["--net", f"tap={TAP},mac={MAC}", *more])
              for who, more in {OURS: [], AT_ONCE: ["--net0.tx-usecs", "0"]}.items()}  # fmt: skip
    for who, vhost in {PEER: "off", VHOST: "on"}.items():
        more = ["-global", "virtio-mmio.force-legacy=off", "-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no,vhost={vhost}"]
        starts[who] = monitors.qemu_microvm(kernel, initrd, **what, more=[*more, "-device", f"virtio-net-device,netdev=net,mac={MAC}"])
    return {who: command for who, command in starts.items() if not only or any(text in who for text in only)}


def job_of(lab, starts, patience):
    network = {"name": TAP, "address": ADDRESS, "peer": str(lab.program("net_peer.cpp")),
               "modules": lab.modules("generic", "tun", "vhost_net"), "devices": ["/dev/net/tun", *(["/dev/vhost-net"] if VHOST in starts else [])]}  # fmt: skip
    return {"name": "network", "timeout": patience, "network": network,
            "starts": [{"key": who, "watch": "parts", "command": command} for who, command in starts.items()]}  # fmt: skip


class Seen:
    """The runs of one start."""

    def __init__(self, runs, parts):
        self.runs, self.parts = runs, parts
        self.errors = [run["error"] for run in runs if "error" in run]

    def _each(self, name, value):
        part, _ = self.parts[name]
        return median(value(run["parts"][part]) for run in self.runs if part in run.get("parts", {}))

    def rate(self, name):
        """A second, of what the part counts."""
        time = self._each(name, lambda did: did["ns"])
        return None if time is None else self.parts[name][1] * 1e9 / time

    def interrupts(self, name):
        return self._each(name, lambda did: did["interrupts"])

    def exits(self, name):
        return self._each(name, lambda did: did["counted"].get("exits"))


def rates_table(report, seen, title, names, unit, scale, digits=0):
    rows = []
    for name in names:
        for who, one in seen.items():
            rate = one.rate(name)
            rows.append([name, who, number(None if rate is None else rate / scale, digits), ratio(rate, seen[PEER].rate(name) if PEER in seen else None),
                         number(one.interrupts(name)), number(one.exits(name))])  # fmt: skip
    report.table(title, ["what", "monitor", unit, f"to {PEER}", "interrupts", "exits"], rows)


def main(argv=None):
    arguments = parse(argv)
    parts = parts_of(arguments)
    lab = Lab("network", arguments, processors=arguments.processors)
    starts = starts_of(lab, parts, arguments.processors, arguments.only)
    if not starts:
        sys.exit(f"bench/network: no monitor has {' or '.join(arguments.only)} in its name; there are {', '.join((OURS, AT_ONCE, PEER, VHOST))}")
    results = lab.run(job_of(lab, starts, arguments.patience))
    seen = {who: Seen(results["runs"][who], parts) for who in starts}
    report, host = Report("network", "Networks"), results["host"]
    where = (f"In the lab, on {arguments.processors} emulated processors, a guest of as many: times are an emulator's and say nothing but as ratios within this run."
             if host["lab"] else this_machine(host))  # fmt: skip
    report.text(f"{where} QEMU {monitors.qemu_version()}, `-M {monitors.MICROVM} -bios qboot.rom -device virtio-net-device`, with `vhost=off` and "
                f"`vhost=on`. The card is on a TAP interface, at whose other end are the sockets that the guest sends to. {medians_of(seen)} "
                f"Interrupts are the guest's, exits KVM's, of the whole part.")  # fmt: skip
    rates_table(report, seen, f"Datagrams of 64 bytes, {number(arguments.frames)} of each sender", ["datagrams, one sender", "datagrams, two senders"], "a second", 1)
    rates_table(report, seen, f"Messages of 64 bytes over TCP, each after the answer to the one before, {number(arguments.messages)}", ["messages"], "a second", 1)
    rates_table(report, seen, f"{arguments.mib} MiB over TCP from the guest and to it", ["out", "in"], "MB/s", 1e6, 1)
    if late := [f"{who}: {len(one.errors)} of {len(one.runs)}, {one.errors[-1]}" for who, one in seen.items() if one.errors]:
        report.text("Not all runs came to their end:\n\n" + "\n".join(f"- {line}" for line in late))
    if not arguments.quick and not arguments.only:
        report.save(results)
    return 1 if any(seen[who].rate("in") is None for who in (OURS, AT_ONCE) if who in seen) else 0
