#!/bin/bash
# exits.sh PROGRAM: a stock guest reads 10,000 blocks of a disk, one at a time, and the monitor is hardly ever called for
# it: 0.00 exits per request, on MMIO and on PCI; with an exact InterruptStatus for each acknowledgement. The monitor's
# own count is that of the kernel it runs on, which by itself answers two accesses a request on MMIO, one on PCI.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest-pci virtio_pci
cat >"$scratch/commands" <<'LAB'
#!/bin/bash
# TRACE COMMAND...: runs COMMAND with a file for marks as its last argument, and puts the trace of its exits into TRACE.
set -eu
to=$1
shift
tracing=/sys/kernel/tracing
[[ -e $tracing/instances ]] || mount -t tracefs tracefs $tracing || exit 77
mkdir "$tracing/instances/axvm.$$" || exit 77
cd "$tracing/instances/axvm.$$"
echo 4096 >buffer_size_kb
echo 1 >options/event-fork # what the processes of this one do, and nothing else
echo $$ >set_event_pid
for event in userspace_exit mmio pio; do echo 1 >events/kvm/kvm_$event/enable; done
status=0
"$@" "$PWD/trace_marker" || status=$?
for event in userspace_exit mmio pio; do echo 0 >events/kvm/kvm_$event/enable; done
cat trace >"$to"
cd /
rmdir "$tracing/instances/axvm.$$"
exit $status
LAB
chmod +x "$scratch/commands"

# run KIND BLOCKS: what the monitor says is in output
run() {
  rm -rf "$scratch/content" "$scratch/disk.img"
  mkdir "$scratch/content"
  cat >"$scratch/content/run.sh" <<GUEST
read_blocks() { dd if=/dev/vdb of=/dev/null bs=4k count=\$1 iflag=direct status=none; }
read_blocks 100
devmem 0xd00f0000 32 1
read_blocks $2
devmem 0xd00f0000 32 2
GUEST
  make_image "$scratch/disk.img" 32M "$scratch/content"
  truncate -s 40M "$scratch/data.img"
  local status=0
  output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$scratch/commands" "$scratch/trace" \
    "$program" "$1" "$kernel" "$initrd" "$scratch/disk.img" "$scratch/data.img" </dev/null) || status=$?
  if ((status == 77)); then
    echo "this user may not trace the kernel"
    exit 77
  fi
  printf '%s\n' "$output"
  ((status == 0))
  [[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]
  local requests
  requests=$(figure requests)
  ((requests >= $2 && requests <= $2 + 10))
  # Between the marks the kernel saw just as many.
  local traced
  traced=$(awk '/axvm mark/ { ++marks } /kvm_userspace_exit:/ && marks == 1 { ++exits } END { print exits + 0 }' \
    "$scratch/trace")
  echo "the kernel counted $traced"
  [[ $(grep -c 'axvm mark' "$scratch/trace") == 2 && $traced == "$(figure exits)" ]]
}
# accesses PATTERN: how many accesses of the guest the kernel saw between the marks
accesses() {
  awk -v pattern="$1" '/axvm mark/ { ++marks } marks == 1 && /kvm_(mmio|pio):/ && $0 ~ pattern { ++n } END { print n + 0 }' \
    "$scratch/trace"
}
figure() { sed -n "s/^$1 \\([0-9.]*\\)\$/\\1/p" <<<"$output"; }

program=$1
for kind in mmio pci; do
  run $kind 10000
  expect "$output" '^exits per request 0\.00$'
  expect "$output" '^exits at the disk 0$'
  requests=$(figure requests)
  doorbells=$(accesses 'gpa 0xd0001050 ') acknowledgements=$(accesses 'gpa 0xd0001064 ') ports=$(accesses 'pio_write at 0xc000 ')
  all=$(accesses 'gpa 0xd000[^0]|at 0xc0') # without the first disk, where the guest's programs are
  echo "of $all accesses to the disk $doorbells doorbells, $acknowledgements acknowledgements, $ports doorbells in a port"
  case $kind in
    mmio) ((doorbells == requests && acknowledgements == requests && all == 2 * requests)) ;;
    pci) ((ports == requests && all == requests)) ;;
  esac
done
run exact 500
expect "$output" '^exits per request 1\.0[0-9]$'
