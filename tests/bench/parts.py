#!/usr/bin/env python3
"""parts.py ROOT XV2_VMM: the parts of the benches that need no monitor to run."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT, XV2_VMM = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(ROOT / "bench"))
from axvm_bench import check, exit, guests, monitors, network, observe, report, scale, startup, svg, table, virtio  # noqa: E402


class Tables(unittest.TestCase):
    def test_columns_line_up(self):
        self.assertEqual(table.text(["a", "much"], [[1, 2], ["long", 3]]),
                         "| a    | much |\n| ---- | ---- |\n| 1    | 2    |\n| long | 3    |\n")  # fmt: skip

    def test_what_was_not_measured_is_a_dash(self):
        self.assertEqual(table.number(None), "-")
        self.assertEqual(table.ratio(None, 2), "-")
        self.assertEqual(table.ratio(2, None), "-")
        self.assertEqual(table.ratio(2, 0), "-")
        self.assertIsNone(table.median([None, None]))

    def test_figures(self):
        self.assertEqual(table.number(1234567.8), "1,234,568")
        self.assertEqual(table.number(1234.56, 1), "1,234.6")
        self.assertEqual(table.ratio(3, 4), "0.75")
        self.assertEqual(table.median([5, None, 1, 2]), 2)

    def test_paragraphs_are_wrapped_and_lists_indented(self):
        lines = report.wrapped("word " * 40 + "\n\n- " + "entry " * 30).split("\n")
        self.assertTrue(all(len(line) <= 120 for line in lines))
        self.assertIn("", lines)
        self.assertTrue(lines[-1].startswith("  entry"))

    def test_a_section_is_what_was_printed(self):
        with tempfile.TemporaryDirectory() as folder:
            report.RESULTS, before = pathlib.Path(folder) / "new", report.RESULTS
            try:
                made = report.Report("it", "It")
                made.text("Some words.")
                made.table("Figures", ["what", "n"], [["x", 1]])
                made.save({"x": [1]})
                section = report.section("it")
            finally:
                report.RESULTS = before
        self.assertTrue(section.startswith("## It\n\n    bench/it"))
        self.assertTrue(section.endswith("Some words.\n\n**Figures**\n\n| what | n |\n| ---- | - |\n| x    | 1 |\n"))


class Figures(unittest.TestCase):
    @staticmethod
    def run_of(nanoseconds, exits, check="1"):
        counted = dict.fromkeys(observe.COUNTERS, 0) | {"exits": exits, "io_exits": 3, "mmio_exits": 4}
        return {"work": {"ns": nanoseconds, "counted": counted}, "check": check}

    def test_rates_are_medians_of_rates(self):
        seen = scale.Seen([self.run_of(10**9, 10), self.run_of(2 * 10**9, 60), self.run_of(10**9, 50)])
        self.assertEqual(seen.seconds("work"), 1)
        self.assertEqual(seen.rate("work", "exits"), 30)
        self.assertEqual(seen.rate("work", "user"), 7)
        self.assertIsNone(seen.rate("idle", "exits"))

    def test_without_counters_there_is_no_rate(self):
        self.assertIsNone(scale.Seen([{"work": {"ns": 1, "counted": {}}, "check": "1"}]).rate("work", "exits"))

    def test_a_failed_run_is_told_and_not_counted(self):
        seen = scale.Seen([self.run_of(10**9, 10), {"error": "it broke"}])
        self.assertEqual(seen.error, "it broke")
        self.assertEqual(seen.seconds("work"), 1)

    def test_guests_must_agree(self):
        one, other = scale.Seen([self.run_of(1, 1, "a")]), scale.Seen([self.run_of(1, 1, "b")])
        scale.check_sums({(1, "x"): one, (2, "x"): other})
        with self.assertRaises(SystemExit):
            scale.check_sums({(1, "x"): one, (1, "y"): other})

    def test_sizes(self):
        self.assertEqual([startup.bytes_of(size) for size in ("4096", "1K", "2M", "1T")], [4096, 1 << 10, 2 << 20, 1 << 40])

    def test_the_gate_allows_five_percent(self):
        self.assertEqual(check.over({"a": 105}, {"a": 100}), [])
        self.assertEqual(len(check.over({"a": 106, "b": 1}, {"a": 100})), 2)  # too many, and one without a budget

    def test_exits_are_told_over_the_floor(self):
        seen = {"bare loop": [10] * 4, "axvm, 1 device": [50] * 4, "axvm, 32 devices, the last": [60, 60, 70, 60]}
        self.assertTrue(exit.verdict(seen)[1])
        self.assertIn("20 more", exit.verdict(seen)[0])
        seen["axvm, 32 devices, the last"][0] = 71
        self.assertFalse(exit.verdict(seen)[1])
        few = {who: costs for who, costs in seen.items() if "32" not in who}
        self.assertNotIn("more", exit.verdict(few)[0])

    def test_plots_are_whole(self):
        drawn = svg.bars("A & B", [("floor", 1), ("x < y", 2.5)])
        self.assertEqual(drawn.count("<rect"), 2)
        self.assertIn("A &amp; B", drawn)
        self.assertTrue(drawn.startswith("<svg") and drawn.endswith("</svg>\n"))


class Requests(unittest.TestCase):
    PART = ("vda", 1)

    @staticmethod
    def part(nanoseconds, exits, cpu):
        return {"ns": nanoseconds, "cpu": cpu, "counted": dict.fromkeys(observe.COUNTERS, 0) | {"exits": exits, "fpu_reload": exits // 2}}

    def seen(self, *runs):
        made = [{"parts": {"vda:1:100": self.part(*run), "empty": self.part(0, 20, 500)}} for run in runs]
        return virtio.Seen(made, {self.PART: 100})

    def test_what_being_measured_costs_is_taken_off(self):
        one = self.seen((20_000, 220, 10_500))
        self.assertEqual(one.time(self.PART), 200)
        self.assertEqual(one.exits(self.PART, ["exits"]), 2)
        self.assertEqual(one.exits(self.PART, virtio.USER_EXITS), 1)
        self.assertEqual(one.cpu(self.PART), 100)
        self.assertEqual(self.seen((20_000, 10, 10_500)).exits(self.PART, ["exits"]), 0)

    def test_figures_are_medians_and_failed_runs_have_none(self):
        one = self.seen((10_000, 20, 500), (90_000, 20, 500), (20_000, 20, 500))
        one.runs.append({"error": "it hung", "parts": {}})
        self.assertEqual(one.time(self.PART), 200)
        self.assertIsNone(virtio.Seen([{"error": "it hung"}], {self.PART: 100}).time(self.PART))

    def test_the_floor_of_many_does_without_the_waking(self):
        null = virtio.Seen([{"parts": {"nullb0:1:10": {"ns": 50}, "nullb0:16:10": {"ns": 70}}}], {("nullb0", 1): 10, ("nullb0", 16): 10})
        floor = virtio.Floor([{"figures": {"pread": 100.0, "ping-pong": 200.0}}], {"x": null})
        self.assertEqual(floor.request(1), 305)
        self.assertEqual(floor.request(16), 107)
        self.assertIsNone(virtio.Floor([], {"x": null}).request(1))

    def test_the_best_of_the_peers(self):
        ways = [who for who, *_ in virtio.peers()]
        self.assertEqual([virtio.is_pci(who) for who in ways], [False, True] * (len(ways) // 2))
        seen = {"xv2_vmm": self.seen((1, 20, 500)), **{who: self.seen((time, 20, 500)) for who, time in zip(ways, (900, 600, 700, 800))}}
        self.assertEqual(virtio.best_peer(seen, self.PART, lambda who: True), 6)
        self.assertEqual(virtio.ratios(seen, self.PART, 7), ["1.00", "0.86"])


class Network(unittest.TestCase):
    PARTS = {"out": ("out:1:2", 2 << 20)}

    @staticmethod
    def run_of(nanoseconds, interrupts, exits=None):
        return {"parts": {"out:1:2": {"ns": nanoseconds, "interrupts": interrupts, "counted": {} if exits is None else {"exits": exits}}}}

    def test_figures_are_medians_of_the_runs_that_came_so_far(self):
        runs = [self.run_of(1 << 20, 5, 30), self.run_of(1 << 21, 7, 10), self.run_of(1 << 22, 6, 20), {"error": "it hung", "parts": {}}]
        one = network.Seen(runs, self.PARTS)
        self.assertEqual(one.rate("out"), 1e9)
        self.assertEqual((one.interrupts("out"), one.exits("out")), (6, 20))
        self.assertEqual(one.errors, ["it hung"])

    def test_a_run_without_the_right_to_count_has_times(self):
        one = network.Seen([self.run_of(1 << 20, 5)], self.PARTS)
        self.assertEqual(one.rate("out"), 2e9)
        self.assertIsNone(one.exits("out"))
        self.assertIsNone(network.Seen([{"error": "it hung"}], self.PARTS).rate("out"))


class Ends(unittest.TestCase):
    """A bench that is told to end does not leave a lab behind."""

    BENCH = "import sys; from axvm_bench.lab import run_to_its_end; run_to_its_end([sys.executable, '-c', sys.argv[1]], patience=float(sys.argv[2]))"
    CHILD = """
import signal, sys
told = 0
def tell(*_):
    global told
    told += 1
    print("told", flush=True)
    if told == {times}:
        sys.exit()
signal.signal(signal.SIGTERM, tell)
print("ready", flush=True)
while True:
    signal.pause()
"""

    def said_and_status(self, times, patience):
        """Of a bench that is told to end, whose child ends when it was told so many times."""
        command = [sys.executable, "-B", "-c", self.BENCH, self.CHILD.format(times=times), str(patience)]
        with subprocess.Popen(command, cwd=ROOT / "bench", stdout=subprocess.PIPE, text=True) as bench:
            said = [bench.stdout.readline()]
            bench.terminate()
            said.append(bench.stdout.readline())
            bench.terminate()  # timeout(1) tells its child twice
            said += bench.stdout.readlines()  # until nobody is left who could write
        return said, bench.returncode

    def test_the_lab_is_told(self):
        self.assertEqual(self.said_and_status(1, 40), (["ready\n", "told\n"], 128 + 15))

    def test_and_told_again(self):
        self.assertEqual(self.said_and_status(2, 0.1), (["ready\n", "told\n", "told\n"], 128 + 15))


class Guests(unittest.TestCase):
    def test_the_archive_holds_modules_in_their_order(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for file in ("program", "b.ko", "a.ko"):
                (folder / file).write_bytes(b"content of " + file.encode())
            guests.initrd(folder / "program", folder / "archive", [(folder / "b.ko", "x=1 y=2"), (folder / "a.ko", "")])
            subprocess.run(["cpio", "-i", "-d", "--quiet"], input=(folder / "archive").read_bytes(), check=True, cwd=folder)
            self.assertEqual((folder / "modules/order").read_text(), "b.ko x=1 y=2\na.ko\n")
            self.assertEqual((folder / "modules/a.ko").read_bytes(), b"content of a.ko")

    def test_the_archive_holds_the_program(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "program").write_bytes(b"odd")
            guests.initrd(folder / "program", folder / "archive")
            listed = subprocess.run(["cpio", "-t", "-v", "--quiet"], input=(folder / "archive").read_bytes(), capture_output=True, check=True)
            self.assertRegex(listed.stdout.decode(), r"^-rwxr-xr-x .* 3 .* init\n$")

    def test_the_monitor_takes_the_smallest_kernel(self):
        with tempfile.TemporaryDirectory() as folder:
            kernel = guests.tiny_kernel(pathlib.Path(folder) / "kernel")
            command = monitors.xv2_vmm(XV2_VMM, kernel, vcpus=2, append="extra")
            shown = subprocess.run([*command, "--write-config"], capture_output=True, text=True)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""))
            self.assertIn("pci=off extra", shown.stdout)


class Observing(unittest.TestCase):
    def test_output_comes_line_by_line(self):
        monitor = observe.start(["sh", "-c", "echo one; echo two 2; read x; echo three $x; echo oops >&2"], observe.time.monotonic() + 30)
        self.assertEqual(monitor.line(), "one")
        self.assertEqual(monitor.line_after("two"), "2")
        observe.os.write(monitor.stdin, b"4\n")
        self.assertEqual(monitor.line(), "three 4")
        self.assertIsNone(monitor.line())
        self.assertEqual(observe.last_line(monitor.end()), "oops")

    def test_a_monitor_that_says_nothing_is_late(self):
        monitor = observe.start(["sleep", "60"], observe.time.monotonic() + 0.2)
        with self.assertRaises(observe.Late):
            monitor.line()
        monitor.end()

    def test_a_guest_s_memory_is_told_from_the_rest(self):
        program = ("import mmap, sys; a = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); a[0] = 1; "
                   "print('up', flush=True); sys.stdin.read()")  # fmt: skip
        monitor = observe.start([sys.executable, "-c", program], observe.time.monotonic() + 30)
        self.assertEqual(monitor.line(), "up")
        memory, parts = observe.memory_of(monitor.pid), observe.parts_of(monitor.pid)
        monitor.end()
        self.assertGreaterEqual(memory["size"], 64 << 10)  # the kernel may join what is beside it
        self.assertIn(memory["guest_rss"], (4, 2048))  # a huge page, where the host gives one unasked
        self.assertGreater(memory["rss"], memory["anonymous"])
        self.assertEqual(memory["Threads"], 1)
        self.assertEqual([sum(part[i] for part in parts.values()) for i in (0, 1)], [memory["rss"], memory["anonymous"]])
        self.assertIn("[stack] rw-p", parts)
        self.assertTrue(all(resident >= anonymous for resident, anonymous in parts.values()), parts)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
