#!/usr/bin/env python3
"""Disassembles dispatch.cpp's program and requires what a person would have written by hand.

    check.py OBJDUMP PROGRAM

The run loop: one jump table for the exit reasons that come seldom, no call through a pointer, no locked instruction; and nothing is
called on the way but KVM_RUN, the devices, and what is off the way (accesses that no device claims, string
instructions). The search: at most five conditional branches from a port or an address to the device's function; where
devices stand in a row, one jump table.
"""

import re
import subprocess
import sys

MOST_BRANCHES = 5
DEVICES = 16


class Function:
    """A function's instructions, each (address, mnemonic, operands)."""

    def __init__(self, name, instructions):
        self.name = name
        self.instructions = instructions
        self.at = {address: index for index, (address, _, _) in enumerate(instructions)}

    def target(self, operands):
        """Where a direct jump or call goes: (address, name)."""
        match = re.match(r"([0-9a-f]+) <([^+>]+)", operands)
        return (int(match[1], 16), match[2]) if match else (None, None)


def disassemble(objdump, program):
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", program], capture_output=True, text=True, check=True).stdout
    functions = {}
    for block in re.split(r"\n\n", text):
        head = re.search(r"^[0-9a-f]+ <(\S+)>:$", block, re.MULTILINE)
        if not head:
            continue
        instructions = []
        for line in block[head.end() :].splitlines():
            match = re.match(r"\s*([0-9a-f]+):\s+((?:(?:lock|rep|repz|repnz|notrack|bnd|data16|cs) )*)(\S+)\s*(.*)", line)
            if match:
                instructions.append((int(match[1], 16), (match[2] + match[3]).replace("notrack ", ""), match[4]))
        functions[head[1]] = Function(head[1], instructions)
    return functions


def is_device(name):
    return name is not None and re.match(r"_ZNK?12_GLOBAL__N_17StationIL", name) is not None


def indirect_jumps(function):
    return sum(mnemonic == "jmp" and "*" in operands for _, mnemonic, operands in function.instructions)


def paths(function, functions):
    """Of all ways through a function to a device's function: which device functions, and the most conditional branches
    on one of them. Ways that end elsewhere do not count."""
    most, reached, stack, best = 0, set(), [(function, 0, 0)], {}
    while stack:
        here, index, branches = stack.pop()
        while index is not None and index < len(here.instructions):
            key = (here.name, index)
            if best.get(key, -1) >= branches:
                break
            best[key] = branches
            address, mnemonic, operands = here.instructions[index]
            index += 1
            if mnemonic.startswith("ret") or mnemonic in ("ud2", "hlt"):
                break
            if mnemonic.startswith("call"):
                if is_device(here.target(operands)[1]):
                    reached.add(here.target(operands)[1])
                    most = max(most, branches)
                    break
                continue
            if not mnemonic.startswith("j"):
                continue
            where, name = here.target(operands)
            conditional = mnemonic != "jmp"
            if is_device(name):
                reached.add(name)
                most = max(most, branches + conditional)
            elif where in here.at:
                stack.append((here, here.at[where], branches + conditional))
            elif name is not None and name.split(".")[0] == function.name and where in functions[name].at:  # its cold part
                stack.append((functions[name], functions[name].at[where], branches + conditional))
            if not conditional:
                break
            branches += 1
    return most, reached


def main():
    functions = disassemble(*sys.argv[1:])
    wrong = []

    loop = functions["axvm_run_loop"]
    # Ports and windows are compared for first; the rest of the reasons have a function of their own.
    rest = [f for f in functions.values() if re.match(r"_ZN\w*12ExitDispatchI\w*4restI", f.name) and "." not in f.name]
    tables = [indirect_jumps(f) for f in [loop, *rest]]
    if tables != [0, 1]:
        wrong.append(f"the run loop and the rest have {tables} indirect jumps instead of [0, 1]")
    ours = [f for f in functions.values() if f.name.startswith("axvm_") or "BoardI" in f.name or is_device(f.name)]
    for function in ours:
        for address, mnemonic, operands in function.instructions:
            if mnemonic.startswith("call") and "*" in operands:
                wrong.append(f"{function.name}: a call through a pointer at {address:#x}: {operands}")
            if mnemonic.startswith("lock") or mnemonic.startswith("xchg") and "(" in operands:
                wrong.append(f"{function.name}: a locked instruction at {address:#x}: {mnemonic} {operands}")
    # What the loop calls, and what that calls as far as it is the board's.
    allowed = re.compile(r"(ioctl|__errno_location|mem(cpy|set))@plt|_ZN\w*(5Board|12ExitDispatch)I\w+")
    called, waiting = set(), [loop]
    while waiting:
        function = waiting.pop()
        for _, mnemonic, operands in function.instructions:
            name = function.target(operands)[1] if mnemonic.startswith(("call", "jmp")) else None
            if name is None or name in called or name == function.name:
                continue
            called.add(name)
            if not is_device(name) and name in functions and not name.endswith("@plt"):
                waiting.append(functions[name])
            if not is_device(name) and not name.startswith(loop.name) and not allowed.fullmatch(name):
                wrong.append(f"{function.name} calls {name}")
    reached = sum(map(is_device, called))
    if reached != 4 * DEVICES:
        wrong.append(f"the run loop reaches {reached} functions of devices instead of {4 * DEVICES}")

    for name in ("axvm_port_write", "axvm_port_read", "axvm_mmio_write", "axvm_mmio_read"):
        most, reached = paths(functions[name], functions)
        print(f"{name}: {len(reached)} devices, at most {most} conditional branches to one")
        if len(reached) != DEVICES:
            wrong.append(f"{name} reaches {len(reached)} devices instead of {DEVICES}")
        if most > MOST_BRANCHES:
            wrong.append(f"{name}: {most} conditional branches on the way to a device, at most {MOST_BRANCHES}")

    for name in ("axvm_row_port_write", "axvm_row_mmio_read"):
        tables = indirect_jumps(functions[name])
        print(f"{name}: {tables} jump table")
        if tables != 1:
            wrong.append(f"{name} has {tables} indirect jumps instead of 1")

    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
