#!/bin/bash
# portable.sh PROGRAM: another profile is another word. Its guest has the host's own processors, so the hypercall
# instruction is the right one, and what a guest does by hypercall is offered and used: KVM itself counts the calls by
# which interrupts go to several processors at once.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
grep -c ^processor /proc/cpuinfo
dmesg | sed -n 's/.*kvm-guest: /kvm-guest: /p'
# Its code is changed where this is tested for, and all processors have to hear of that.
for i in 1 2 3 4 5; do
  echo 1 >/proc/sys/kernel/sched_schedstats
  echo 0 >/proc/sys/kernel/sched_schedstats
done
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
cat >"$scratch/commands" <<'LAB'
#!/bin/bash
# COMMAND...: runs it, then says how often guests called their hypervisor, by the number of the call
set -eu
tracing=/sys/kernel/tracing
[[ -e $tracing/instances ]] || mount -t tracefs tracefs $tracing || exit 77
instance=$tracing/instances/axvm.$$
mkdir "$instance" || exit 77
echo 'hist:keys=nr' >"$instance/events/kvm/kvm_hypercall/trigger"
status=0
"$@" || status=$?
sed -n 's/^{ nr: *\([0-9]*\) } hitcount: *\([0-9]*\)$/hypercall \1: \2/p' "$instance/events/kvm/kvm_hypercall/hist"
rmdir "$instance"
exit $status
LAB
chmod +x "$scratch/commands"
status=0
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$scratch/commands" "$1" "$kernel" "$initrd" \
  "$scratch/disk.img" </dev/null) || status=$?
if ((status == 77)); then
  echo "this user may not trace the kernel"
  exit 77
fi
((status == 0))
expect "$output" '^4$'
expect "$output" '^kvm-guest: .*PV IPIs|^kvm-guest: .*pv IPIs'
expect "$output" '^kvm-guest: .*[Pp][Vv] remote TLB flush'
expect "$output" '^powered off$'
[[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]
# [linux/hypercalls] KVM_HC_SEND_IPI: at least one for each of the ten changes.
calls=$(sed -n 's/^hypercall 10: //p' <<<"$output")
((${calls:-0} >= 10)) || refuse "$output" '.'
