#!/bin/bash
# exits_idle.sh GUEST: how often a guest leaves the processor to its host, counted by the host's kernel and by reason: for
# ten seconds of rest, and while all its processors work. QEMU's microvm runs the same kernel and initrd beside it, and
# is what the numbers are held to. Nothing of the legacy timer and interrupt controller is heard of.
#
# Two virtual processors that share one of the host take each tick of their own or several at once, and find each other
# at work or not, as the clocks of guest and host happen to lie: that is chance, decided at each boot. Of one guest and
# the next, the ticks taken under load and what is left without them differ by a quarter. So what a monitor could add,
# ports and lines and CPUID, must be nothing at all; ticks under load are held to what a clock can ask for; and all exits,
# and those beside the ticks, to QEMU's with what chance explains on top: under load for each tick taken or for each
# second, since a guest that its host lets take more of its ticks leaves for each, and takes what else falls to it then.
# What is compared is the sum over the pairs so far, and a pair is added until that is within bounds, four at most; more
# exits than QEMU's in the long run stay more.
#
# No mitigations: the profile's processor needs them, the lab's own does not, and they make all else the guest does longer.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
guest=$1 vcpus=2
[[ -e /usr/share/qemu/bios-microvm.bin ]] || {
  echo "skipped: no firmware for QEMU's microvm (package qemu-system-data)" >&2
  exit 77
}
files=$(fetch_kernel cloud)
kernel=${files%%$'\n'*}
make_initrd "$scratch/guest.cpio" "$guest" "$scratch/no-modules" >"$scratch/made"

cat >"$scratch/counted" <<'LAB'
#!/bin/bash
# counted NAME COMMAND...: runs a monitor; prints "NAME part event key count" for what KVM did in each part. Instance n
# of the tracer counts from the guest's n-th mark on, so that a part is the difference of two.
set -eu
name=$1
shift
tracing=/sys/kernel/debug/tracing
events=(kvm_exit:exit_reason kvm_msr:ecx kvm_set_irq:gsi kvm_pic_set_irq:pin)
for mark in 0 1 2 3; do
  mkdir $tracing/instances/$name$mark
  kvm=$tracing/instances/$name$mark/events/kvm
  for event in "${events[@]}"; do
    echo "hist:keys=${event#*:}:pause" >>$kvm/${event%:*}/trigger
    echo "enable_hist:kvm:${event%:*} if gpa == $((0xf8000000 + 4 * mark))" >>$kvm/kvm_mmio/trigger
  done
done
mkdir $tracing/instances/${name}all
echo 'hist:keys=gsi' >>$tracing/instances/${name}all/events/kvm/kvm_set_irq/trigger

"$@" </dev/null 2>&1 | sed "s/^/$name says /"
read_hist() { # INSTANCE EVENT
  sed -n 's/^{ [a-z_]*: *\([0-9]*\) } hitcount: *\([0-9]*\)$/\1 \2/p' $tracing/instances/$name$1/events/kvm/$2/hist
}
for part in 0:idle 2:load; do
  for event in "${events[@]%:*}"; do
    join -a 1 -e 0 -o 0,1.2,2.2 <(read_hist ${part%:*} $event | sort) <(read_hist $((${part%:*} + 1)) $event | sort) |
      while read -r key from to; do
        ((from == to)) || echo "$name ${part#*:} $event $key $((from - to))"
      done
  done
done
read_hist all kvm_set_irq | sed "s/^/$name all kvm_set_irq /"
rmdir $tracing/instances/$name*
LAB
cat >"$scratch/both" <<LAB
#!/bin/bash
# both ROUND
set -eu
append='cryptomgr.notests quiet loglevel=0 mitigations=off'
axvm() {
  "$scratch/counted" axvm "$XV2_VMM" --host-check=warn --kernel "$kernel" --initrd "$scratch/guest.cpio" --memory 256M \\
    --vcpus $vcpus --no-reboot --append "\$append"
}
qemu() {
  "$scratch/counted" qemu qemu-system-x86_64 -accel kvm -cpu host -smp $vcpus -m 256M -L /usr/share/qemu \\
    -M microvm,pit=off,pic=off,rtc=off,x-option-roms=off,auto-kernel-cmdline=off -nodefaults -no-user-config \\
    -display none -no-reboot -serial stdio -kernel "$kernel" -initrd "$scratch/guest.cpio" \\
    -append "console=ttyS0 panic=1 pci=off \$append"
}
# What else the machine does does not always fall on the same one.
if ((\$1 % 2)); then axvm && qemu; else qemu && axvm; fi
LAB
chmod +x "$scratch/counted" "$scratch/both"
cat >"$scratch/check" <<'CHECK'
# check VCPUS ROUND LAST FILE...: 3 asks for another pair
import re
import sys
from collections import defaultdict

vcpus, last = int(sys.argv[1]), sys.argv[2] == sys.argv[3]
REASONS = {0x60: "interrupt", 0x64: "interrupt window", 0x72: "CPUID", 0x77: "PAUSE", 0x78: "HLT", 0x7b: "port",
           0x7c: "MSR", 0x81: "hypercall", 0x400: "nested page fault"}
HZ = 250  # of Debian's kernel
MSRS = {0x6e0: "TSC deadline", 0x80b: "end of interrupt", 0x830: "send interrupt"}
counts = defaultdict(lambda: defaultdict(int))  # (monitor, part, event) -> key -> how often
seconds = defaultdict(list)  # (monitor, part)
for line in (line for name in sys.argv[4:] for line in open(name)):
    if said := re.fullmatch(r"(\w+) says cpus (\d+) idle ([\d.]+) load ([\d.]+)\s*", line):
        assert int(said[2]) == vcpus, line
        seconds[said[1], "idle"].append(float(said[3]))
        seconds[said[1], "load"].append(float(said[4]))
    elif found := re.fullmatch(r"(\w+) (idle|load|all) (\w+) (\d+) (\d+)\n", line):
        counts[found[1], found[2], found[3]][int(found[4])] += int(found[5])
pairs = len(sys.argv) - 4
if len(seconds) != 4 or any(len(durations) != pairs for durations in seconds.values()):
    sys.exit("a guest did not come to its end")

def per_second(name, part, number):
    return number / vcpus / sum(seconds[name, part])


# Each tick is a write of the next one's deadline; the host's own ticks and the guests' are its interrupts.
rates = {}
for name, part in seconds:
    exits, ticks = counts[name, part, "kvm_exit"], counts[name, part, "kvm_msr"][0x6e0]
    rates[name, part, "all"] = per_second(name, part, sum(exits.values()))
    rates[name, part, "ticks"] = per_second(name, part, ticks)
    rates[name, part, "other"] = per_second(name, part, sum(exits.values()) - ticks - exits[0x60])
for part in ("idle", "load"):
    print(f"{part}, in seconds: " + "   ".join(" ".join(f"{s:.2f}" for s in seconds[n, part]) for n in ("axvm", "qemu")))
    for kind, what in (("all", "exits"), ("ticks", "of them to set the timer"), ("other", "neither that nor interrupts")):
        print(f"  {what} per vCPU-second: " + "   ".join(f"{n} {rates[n, part, kind]:.1f}" for n in ("axvm", "qemu")))
    for event, names in (("kvm_exit", REASONS), ("kvm_msr", MSRS)):
        keys = {key for name in ("axvm", "qemu") for key in counts[name, part, event]}
        for key in sorted(keys):
            print(f"  {event:9} {names.get(key, hex(key)):20}" +
                  "".join(f"{counts[name, part, event][key]:8}" for name in ("axvm", "qemu")))
# A count of nothing would be less than anything.
if min(rate for (_, _, kind), rate in rates.items() if kind == "all") < 1:
    sys.exit("hardly an exit was counted")
wrong = []
# The monitor's own work: the guest's console is silent, so there is nothing to leave the kernel for.
for part in ("idle", "load"):
    for reason in (0x7b, 0x72):
        if counts["axvm", part, "kvm_exit"][reason]:
            wrong.append(f"{REASONS[reason]} exits, {part}: {counts['axvm', part, 'kvm_exit'][reason]}")
    for event in ("kvm_set_irq", "kvm_pic_set_irq"):
        if counts["axvm", part, event]:
            wrong.append(f"an interrupt line changed, {part}: {event} {dict(counts['axvm', part, event])}")
# A kernel that does not use the interval timer stops it by a mode in which it ticks once, a rise and a fall.
if counts["axvm", "all", "kvm_set_irq"][0] > 2 * pairs:
    wrong.append("the interval timer ticks")
if wrong:
    sys.exit("\n".join(wrong))
for part, kind, bound in (("idle", "all", 1.2), ("load", "all", 1.1), ("load", "other", 1.25)):
    a_second = rates["axvm", part, kind] / max(rates["qemu", part, kind], 1e-9)
    a_tick = a_second * rates["qemu", part, "ticks"] / max(rates["axvm", part, "ticks"], 1e-9)
    compared = min(a_second, a_tick) if part == "load" else a_second
    print(f"  to QEMU's, {part}, {kind}: {a_second:.2f} a second, {a_tick:.2f} a tick")
    if compared > bound:
        wrong.append(f"more than {bound} times QEMU's exits, {part}: {kind}")
if rates["axvm", "load", "ticks"] > 1.05 * HZ:
    wrong.append(f"more ticks than the kernel's {HZ} a second under load")
if wrong and not last:
    sys.exit(3)
late = [f"{name} {max(s):.1f} s" for (name, part), s in seconds.items() if part == "load" and max(s) > 5.5]
if wrong and late:
    # Guests that get no processor for long have other exits than those that do, and each run has its own.
    print("skipped: this machine is too busy to compare; five seconds of work lasted: " + ", ".join(late))
    sys.exit(77)
if wrong:
    sys.exit("\n".join(wrong))
CHECK

rounds=4
files=()
for ((round = 1; round <= rounds; ++round)); do
  output=$(again "$here/with-kvm" --lab --timeout $patience -- "$scratch/both" $round </dev/null)
  printf '%s\n' "$output" >"$scratch/round$round"
  files+=("$scratch/round$round")
  status=0
  python3 "$scratch/check" $vcpus $round $rounds "${files[@]}" || status=$?
  ((status == 3)) || exit "$status"
done
