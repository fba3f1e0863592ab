"""Machines a second: made, run until the guest has written a port and halted, destroyed. A machine of the framework with
one device, in real mode and in 64-bit mode, against KVM's own calls and nothing else; in turns, medians of several."""

import argparse
import os
import subprocess

from axvm_bench.lab import Lab, add_own_flags
from axvm_bench.report import Report
from axvm_bench.table import median, number, ratio

SKIPPED = 77  # as the tests' exit status
WHO = {"bare": "bare KVM, real mode", "machine": "axvm, real mode", "long": "axvm, 64-bit mode"}


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/cycle", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--machines", type=int, default=100, metavar="N", help="in a run (default 100)")
    add_own_flags(parser, 9)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.machines = 1, 3
    return arguments


def main(argv=None):
    arguments = parse(argv)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("bench/cycle: /dev/kvm is not there, or not this user's to use")
        return SKIPPED
    lab = Lab("cycle", arguments)
    program = str(lab.program("cycle.cpp"))
    seen = {who: [] for who in WHO}
    for _ in range(arguments.runs):
        for who, times in seen.items():
            done = subprocess.run([program, who, str(arguments.machines)], capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"bench/cycle: {WHO[who]}: {done.stderr}")
            times.append([int(word) / arguments.machines for word in done.stdout.split()])
    report = Report("cycle", "Machines made and destroyed")
    report.text(f"On this machine's KVM, {arguments.machines} machines of 2 MiB one after the other in a run. Medians of "
                f"{arguments.runs} runs in turns.")  # fmt: skip
    floor = [median(one[part] for one in seen["bare"]) for part in (0, 1)]
    rows, bars = [], []
    for who, times in seen.items():
        whole, used = (median(one[part] for one in times) for part in (0, 1))
        rows.append([WHO[who], number(1e9 / whole), number(whole / 1e3), number(used / 1e3), ratio(whole, floor[0]), ratio(used, floor[1])])
        bars.append((WHO[who], 1e9 / whole))
    report.table("One machine", ["who", "machines/s", "us", "us of processor time", "us / bare", "processor time / bare"], rows)
    report.bars("cycle", "Machines a second; more is better", bars, 0)
    if not arguments.quick:
        report.save(seen)
    return 0
