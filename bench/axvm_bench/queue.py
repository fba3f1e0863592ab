"""Virtqueues without KVM: descriptors a second that the device's side takes and hands back, for chains of three buffers
(header, page, status) in the ring itself, in indirect tables, and with EVENT_IDX. The floor is a loop that reads and
writes the same bytes of the rings and does nothing else. In turns, medians of several."""

import argparse
import subprocess

from axvm_bench.lab import Lab, add_own_flags
from axvm_bench.report import Report
from axvm_bench.table import median, number, ratio

FLOOR = "memory"
WORKS = {FLOOR: "the same memory, and nothing else", "direct": "direct", "indirect": "indirect", "event-idx": "direct, EVENT_IDX"}
BUFFERS = 3  # of a chain


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/queue", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chains", type=int, default=2_560_000, metavar="N", help="in a run (default 2560000)")
    add_own_flags(parser, 9)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.runs, arguments.chains = 1, 12_800
    return arguments


def main(argv=None):
    arguments = parse(argv)
    lab = Lab("queue", arguments)
    program = str(lab.program("parts.cpp"))
    seen = {work: [] for work in WORKS}
    for _ in range(arguments.runs):
        for work, times in seen.items():
            done = subprocess.run([program, work, str(arguments.chains)], capture_output=True, text=True, check=True)
            times.append(int(done.stdout.split()[0]))
    report = Report("queue", "Virtqueues")
    report.text(f"Processor time, on one core of this machine, {arguments.chains:,} chains of {BUFFERS} buffers, 128 of them in each "
                f"round of `refresh`, `pop`, `push` and `publish`. Medians of {arguments.runs} runs in turns.")  # fmt: skip
    floor, rows, bars = median(seen[FLOOR]), [], []
    for work, times in seen.items():
        rate = BUFFERS * arguments.chains / median(times) * 1e3  # million descriptors a second
        rows.append([WORKS[work], number(rate, 1), number(median(times) / arguments.chains, 1), ratio(median(times), floor)])
        bars.append((WORKS[work], rate))
    report.table("Descriptors taken and handed back", ["chains", "million descriptors/s", "ns a chain", "time / floor"], rows)
    report.bars("queue", "Million descriptors a second; more is better", bars)
    if not arguments.quick:
        report.save(seen)
    return 0
