"""A gate against regressions: instructions of the hot paths, counted by valgrind, against those in bench/check.budgets.
Instructions and not seconds, so that it tells the same on a busy machine as on an idle one; fails where one needs over
5 % more than it may. Needs no KVM. Budgets are of Debian 12's g++."""

import argparse
import concurrent.futures
import os
import re
import subprocess

from axvm_bench.lab import Lab
from axvm_bench.report import ROOT
from axvm_bench.table import number, ratio, text

BUDGETS = ROOT / "bench/check.budgets"
TOLERANCE = 1.05
FEW, MANY = 1_280, 14_080  # whole batches of chains, whole rounds of devices
WORKS = {"port-write": "exit", "port-read": "exit", "mmio-write": "exit", "mmio-read": "exit", "port-unclaimed": "exit",
         "direct": "chain", "indirect": "chain", "event-idx": "chain"}  # fmt: skip
HEAD = """# What bench/check allows: instructions of one exit of a machine of 32 devices, the stand-in for KVM included, and of one
# chain of three buffers, as valgrind counts them in what g++ 12 makes with -O2. bench/check --record writes it.
"""


def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/check", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write what is counted into bench/check.budgets")
    parser.add_argument("--only", action="append", choices=list(WORKS), metavar="WORK", help=f"repeat it for several: {', '.join(WORKS)}")
    parser.add_argument("--quick", action="store_true", help="port writes and direct chains alone")
    parser.add_argument("--no-install", action="store_true", help="name missing packages instead of installing them")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.only = ["port-write", "direct"]
    arguments.lab, arguments.host, arguments.runs, arguments.minutes = False, True, 1, 60
    return arguments


def instructions(program, work, count):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, work, str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise SystemExit(f"bench/check: {work} did not run under valgrind:\n{done.stderr}")
    return int(found[1])


def of_one(program, work):
    """Instructions of one exit or chain: what many take beyond a few, so that no start counts."""
    return (instructions(program, work, MANY) - instructions(program, work, FEW)) / (MANY - FEW)


def read_budgets():
    lines = [line.split() for line in BUDGETS.read_text().splitlines() if line and not line.startswith("#")]
    return {name: float(budget) for name, budget in lines}


def over(counted, budgets):
    """What needs too much, and what has no budget, in words."""
    told = [f"{work} has no budget: bench/check --record" for work in counted if work not in budgets]
    for work, count in counted.items():
        if work in budgets and count > budgets[work] * TOLERANCE:
            told.append(f"{work} needs {count:.1f} instructions; its budget is {budgets[work]:.1f}, and {TOLERANCE - 1:.0%} more")
    return told


def main(argv=None):
    arguments = parse(argv)
    lab = Lab("check", arguments)
    lab.need("valgrind")
    program = str(lab.program("parts.cpp"))
    works = [work for work in WORKS if not arguments.only or work in arguments.only]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        counted = dict(zip(works, pool.map(lambda work: of_one(program, work), works)))
    budgets = read_budgets() if BUDGETS.exists() else {}
    if arguments.record:
        budgets |= {work: round(count, 1) for work, count in counted.items()}
        BUDGETS.write_text(HEAD + "".join(f"{work} {budgets[work]:.1f}\n" for work in WORKS if work in budgets))
    rows = [[work, f"one {WORKS[work]}", number(count, 1), number(budgets.get(work), 1), ratio(count, budgets.get(work))] for work, count in counted.items()]
    print(text(["work", "of", "instructions", "budget", "instructions / budget"], rows))
    told = over(counted, budgets)
    for line in told:
        print(f"bench/check: {line}")
    return 1 if told else 0
