"""Runs monitors where KVM can boot Linux: on this machine or in the lab, by tests/lab/with-kvm."""

import glob
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

from axvm_bench.report import RESULTS, ROOT

COMMON = ROOT / "tests/lab/common.sh"
HERE = pathlib.Path(__file__).resolve().parent


def add_flags(parser, runs):
    """The flags that all benches have which start monitors."""
    parser.add_argument("--runs", type=int, default=runs, metavar="N", help=f"of each thing, in turns; medians are printed (default {runs})")
    parser.add_argument("--quick", action="store_true", help="one run of the least there is: shows that it works, measures nothing")
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="after that no further run begins (default 60)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lab", action="store_true", help="in the lab, whatever this machine's KVM can")
    where.add_argument("--host", action="store_true", help="on this machine's KVM (KVM's counters need root)")
    parser.add_argument("--no-install", action="store_true", help="name missing packages instead of installing them")


def add_own_flags(parser, runs):
    """What benches have that run on this machine as it is, without monitors of others."""
    parser.add_argument("--runs", type=int, default=runs, metavar="N", help=f"of each thing, in turns; medians are printed (default {runs})")
    parser.add_argument("--quick", action="store_true", help="one run of the least there is: shows that it works, measures nothing")
    parser.add_argument("--no-install", action="store_true", help="name missing packages instead of installing them")
    parser.set_defaults(lab=False, host=True, minutes=60)


def files_of(commands):
    """Every file that these commands read: programs, libraries, firmware and the files they are given."""
    files = {"/etc/ld.so.cache", *glob.glob("/usr/share/qemu/*.rom"), *glob.glob("/usr/share/qemu/*.bin"), *glob.glob("/usr/share/seabios/*.bin")}
    for command in commands:
        files |= {word for word in command if word.startswith("/") and os.path.isfile(word)}
        files.add(shutil.which(command[0]) or sys.exit(f"bench: there is no program {command[0]}"))
    for program in {shutil.which(command[0]) for command in commands}:
        needed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout  # fails for static ones
        files |= set(re.findall(r"^\t(?:.* => )?(/\S+) \(", needed, re.MULTILINE))
    return sorted(files)


def medians_of(seen):
    """A sentence that says what the figures are, by how many runs there were: less of some where time was short."""
    numbers = sorted({sum("error" not in run for run in one.runs) for one in seen.values()} - {0}) or [0]
    if numbers == [1]:
        return "One run of each."
    most = numbers[-1] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"Medians of {most} runs that took turns."


def this_machine(host):
    """A sentence that says where it was measured, by observe.py's facts, where that was not the lab."""
    return f"On this machine: {host['model']}, {host['processors']} processors, Linux {host['kernel']}."


def run_to_its_end(command, patience=10):
    """Its exit status. What ends this process meanwhile ends it first: it is told, and told again after `patience` seconds,
    upon which with-kvm takes no more time."""

    def leave(number, _):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come twice
        raise SystemExit(128 + number)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until there is a child to tell
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}))
    handler = signal.signal(signal.SIGTERM, leave)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        status = child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
        raise
    signal.signal(signal.SIGTERM, handler)
    return status


class Lab:
    """Gets what a bench needs, with the functions of the tests, and runs observe.py there."""

    def __init__(self, name, arguments, memory="2G", icount=False, host=False, short_slices=False, processors=1):
        self.name, self.memory, self.icount, self.short_slices = name, memory, icount, short_slices
        self.processors = processors
        self.runs, self.minutes = arguments.runs, arguments.minutes
        self.where = ["--lab"] if arguments.lab or icount else ["--host"] if arguments.host or host else []
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.no_install = ["--no-install"] if arguments.no_install else []
        self._shell('need_packages "$@" "${packages_build[@]}" "${packages_lab[@]}"', *self.no_install)

    def _shell(self, script, *arguments):
        """A script that has the functions of tests/lab/common.sh; its standard output."""
        program = f"set -euo pipefail; . {shlex.quote(str(COMMON))}; {script}"
        done = subprocess.run(["bash", "-c", program, f"bench/{self.name}", *arguments], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(done.returncode)
        return done.stdout

    def xv2_vmm(self):
        """The monitor: AXVM_XV2_VMM, or the one of build/gcc, built where that is needed."""
        if named := os.environ.get("AXVM_XV2_VMM"):
            return named
        self._shell("build_preset gcc xv2_vmm kvm_can_boot_linux")
        return str(ROOT / "build/gcc/examples/xv2_vmm/xv2_vmm")

    def is_emulated(self):
        """Whether monitors will run in the lab, for what is not the same there as on a machine."""
        if self.where:
            return self.where == ["--lab"]
        probe = os.environ.get("AXVM_KVM_PROBE", str(ROOT / "build/gcc/tests/lab/kvm_can_boot_linux"))
        try:
            return subprocess.run([probe], stdout=subprocess.DEVNULL, timeout=20).returncode != 0
        except (OSError, subprocess.TimeoutExpired):
            return True

    def kernel(self):
        """Debian's cloud kernel: a bzImage."""
        return self._shell("fetch_kernel cloud").splitlines()[0]

    def modules(self, flavour, *names):
        """The files of modules of a kernel and of what they need, in loading order."""
        script = 'mapfile -t kernel < <(fetch_kernel "$1"); shift; module_files "${kernel[1]}" "$@"'
        return self._shell(script, flavour, *names).split()

    def unpacked(self, kernel):
        """The ELF kernel inside a bzImage ([linux/boot] payload_offset, payload_length)."""
        image = pathlib.Path(kernel).read_bytes()
        offset, length = struct.unpack_from("<II", image, 0x248)
        begin = ((image[0x1F1] or 4) + 1) * 512 + offset
        payload = image[begin : begin + length]
        tools = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz", b"\x1f\x8b": "gzip"}
        tool = next((tool for magic, tool in tools.items() if payload.startswith(magic)), None)
        if tool is None:
            sys.exit(f"bench/{self.name}: {kernel} is packed in a way that is not known here")
        self.need({"xz": "xz-utils"}.get(tool, tool))
        # What follows the stream, its size or padding, makes the tools complain when all is there.
        done = subprocess.run([tool, "-dc"], input=payload[:-4] if tool == "lz4" else payload, capture_output=True)
        if not done.stdout.startswith(b"\x7fELF"):
            sys.exit(f"bench/{self.name}: {tool} does not unpack {kernel}: {done.stderr.decode(errors='replace')}")
        to = RESULTS / "vmlinux"
        to.write_bytes(done.stdout)
        return str(to)

    def need(self, *packages):
        """Packages that this bench needs beside those of all."""
        self._shell('need_packages "$@"', *self.no_install, *packages)

    def program(self, source, name=None, flags=()):
        """One of our own C++ files, compiled and statically linked: the same on every machine that has a kernel. Not
        again where nothing that it is made of has changed."""
        program = RESULTS / (name or pathlib.Path(source).stem)
        command = ["g++", "-std=c++23", "-O2", "-static", "-s", "-Wall", "-Wextra", f"-I{ROOT}/include", *flags]
        command += ["-MMD", "-MF", f"{program}.d", "-o", str(program), str(HERE / source)]
        made, said = pathlib.Path(f"{program}.d"), pathlib.Path(f"{program}.command")
        if program.exists() and made.exists() and said.exists() and said.read_text() == shlex.join(command):
            files = [pathlib.Path(file) for file in made.read_text().replace("\\\n", " ").split()[1:]]
            if all(file.exists() and file.stat().st_mtime <= program.stat().st_mtime for file in files):
                return program
        print(f"bench/{self.name}: compiling {program.name}", file=sys.stderr, flush=True)
        subprocess.run(command, check=True)
        said.write_text(shlex.join(command))
        return program

    def run(self, job, seconds=None):
        """What observe.py makes of a job, as it returns it, and what there is by then where it was cut off after the first
        run of each. With `seconds` it is given so many, and None where they were not enough."""
        with tempfile.TemporaryDirectory(dir=RESULTS, prefix="run.") as folder:
            files = files_of([one["command"] for one in job["starts"]])
            job = job | {"files": files, "runs": self.runs, "seconds": 60 * self.minutes}
            longest = 60 * self.minutes + 3 * job["timeout"]  # and the lab's own start and end
            (pathlib.Path(folder) / "job.json").write_text(json.dumps(job))
            command = [str(ROOT / "tests/lab/with-kvm"), *self.where, *self.no_install, "--share", folder]
            command += ["--memory", self.memory, "--cpus", str(self.processors), "--timeout", str(seconds or longest)]
            command += [*(["--icount"] if self.icount else []), *(["--short-slices"] if self.short_slices else [])]
            command += ["--", os.path.realpath(sys.executable), "-I", str(HERE / "observe.py"), folder]
            status = run_to_its_end(command)
            if status == 124 and seconds:
                return None
            seen = pathlib.Path(folder) / "results.json"
            results = json.loads(seen.read_text()) if seen.exists() else None
            if status != 0:
                print(f"bench/{self.name}: the run failed with status {status}", file=sys.stderr, flush=True)
                # The lab's machine may fall over or stand still; what there is of every start by then is as good as ever.
                if status not in (124, 125) or results is None or not all(results["runs"].values()):
                    sys.exit(1)
            return results
