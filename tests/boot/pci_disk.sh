#!/bin/bash
# pci_disk.sh DISK_WORK: disks on PCI beside one on MMIO, in a stock guest of four processors. Each queue has a message
# interrupt of its own, on a processor of its own. Patterns are written to all disks at once and read back, and outside
# they hold what the guest says. A file that grows makes the disk grow, discarding shrinks the file.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest-pci virtio_pci
mkdir "$scratch/content"
cp "$1" "$scratch/content/disk_work"
cat >"$scratch/content/run.sh" <<'GUEST'
work=$PWD/disk_work
cat /proc/cmdline
for disk in b c d e; do
  block=/sys/block/vd$disk bus=/sys/block/vd$disk/device/..
  echo "vd$disk $(basename "$(readlink -f $bus/driver)") $(basename "$(readlink -f $bus)")" \
    "serial $(cat $block/serial) queues $(ls $block/mq | wc -l) ro $(cat $block/ro)" \
    "discard $(cat $block/queue/discard_max_bytes)"
done
# From each processor a few requests, one after the other.
device=$(basename "$(readlink -f /sys/block/vdc/device)")
for mask in 1 2 4 8; do
  taskset $mask dd if=/dev/vdc of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null
done
grep "$device-" /proc/interrupts
cat /sys/block/vdc/device/../msi_irqs/* | sort | uniq -c
# A processor that goes takes its queue's interrupt with it, one that comes brings it back.
third_queue() { awk -v name="$device-req.2" '$NF == name { print $4 }' /proc/interrupts; }
before=$(third_queue)
echo 0 >/sys/devices/system/cpu/cpu2/online
taskset 8 dd if=/dev/vdc of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null && echo "reads without it"
echo 1 >/sys/devices/system/cpu/cpu2/online
taskset 4 dd if=/dev/vdc of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null
echo "$(($(third_queue) - before)) interrupts with it"
for disk in b c d; do
  $work verify /dev/vd$disk 4 100 >/tmp/$disk &
done
wait
for disk in b c d; do
  echo "vd$disk: $(cat /tmp/$disk), $($work sum /dev/vd$disk)"
done
$work discard /dev/vdc 0x400000 0x400000 && echo "discarded, $($work sum /dev/vdc)"
dd if=/dev/zero of=/dev/vde bs=512 count=1 2>/dev/null || echo "no write"
echo "vdd has $(cat /sys/block/vdd/size)"
echo "waits for a larger disk"
tries=0
until [ "$(cat /sys/block/vdd/size)" = 65536 ] || [ $tries -gt 200 ]; do
  usleep 100000
  tries=$((tries + 1))
done
echo "vdd has $(cat /sys/block/vdd/size)"
echo grown | dd of=/dev/vdd bs=512 seek=65535 conv=sync,fsync 2>/dev/null
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"

cat >"$scratch/commands" <<'LAB'
#!/bin/bash
# commands DISK_WORK MONITOR...
set -eu
work=$1
shift
cd "$(mktemp -d -p /dev/shm)"
trap 'rm -rf "$PWD"' EXIT
truncate -s 20M mmio
fallocate -l 16M raw
truncate -s 24M sparse
echo "this disk is only read" >read-only
truncate -s 1M read-only
blocks=$(stat -c %b raw)
mkfifo output
"$@" --disk mmio --pci-disk raw --pci-disk sparse --pci-disk read-only,ro --blkpci1.queues 2 </dev/null >output 2>&1 &
while read -r line; do
  echo "$line"
  if [[ $line == *"waits for a larger disk"* ]]; then
    truncate -s 32M sparse
    kill -USR2 $!
  fi
done <output
wait $! || echo "status $?"
echo "behind the old end: $(dd if=sparse bs=512 skip=65535 count=1 2>/dev/null | tr -d '\000')"
echo "shrunk by $((blocks - $(stat -c %b raw)))"
echo "untouched: $(tr -d '\000' <read-only)"
head -c 24M sparse >old-part
for disk in mmio raw old-part; do
  echo "$disk: $("$work" sum "$disk")"
done
LAB
chmod +x "$scratch/commands"
output=$(again "$here/with-kvm" --timeout $patience --share "$scratch" -- "$scratch/commands" "$1" "$XV2_VMM" -v \
  --host-check=warn --kernel "$kernel" --initrd "$initrd" --memory 256M --vcpus 4 --no-reboot \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' --disk "$scratch/disk.img" </dev/null 2>&1)
expect "$output" '^console=ttyS0 panic=1 tsc=nowatchdog root=/dev/vda rw quiet '
expect "$output" '^vdb virtio-mmio LNRO0005:01 serial mmio queues 4 ro 0 discard 1073741824$'
expect "$output" '^vdc virtio-pci 0000:00:00\.0 serial raw queues 4 ro 0 discard 1073741824$'
expect "$output" '^vdd virtio-pci 0000:00:01\.0 serial sparse queues 2 ro 0 discard 1073741824$'
expect "$output" '^vde virtio-pci 0000:00:02\.0 serial read-only queues 4 ro 1 discard 0$'
# Each queue's interrupt came to one processor and no other, for each of its requests; the configuration did not change.
interrupts=$(awk '/ PCI-MSI / { sub(/.*-/, "", $NF); print $NF, $2, $3, $4, $5 }' <<<"$output")
many='[2-9][0-9]'
for row in 'config 0 0 0 0' "req.0 $many 0 0 0" "req.1 0 $many 0 0" "req.2 0 0 $many 0" "req.3 0 0 0 $many"; do
  expect "$interrupts" "^$row\$"
done
expect "$output" '^ *5 msix$'
expect "$output" '^reads without it$'
expect "$output" '^20 interrupts with it$'
for disk in b c d; do
  expect "$output" "^vd$disk: 0 of 4 went wrong, sum [0-9a-f]{16}\$"
done
sum_of() { sed -n "s|^$1.*sum \\([0-9a-f]*\\)\$|\\1|p" <<<"$output"; }
expect "$output" '^discarded, sum [0-9a-f]{16}$'
[[ $(sum_of vdb:) == "$(sum_of mmio:)" && $(sum_of vdd:) == "$(sum_of old-part:)" ]]
[[ $(sum_of discarded,) == "$(sum_of raw:)" && $(sum_of vdc:) != "$(sum_of raw:)" ]]
expect "$output" '^no write$'
expect "$output" '^untouched: this disk is only read$'
expect "$output" '^vdd has 49152$'
expect "$output" '^vdd has 65536$'
expect "$output" '^behind the old end: grown$'
expect "$output" '^shrunk by 8192$' # blocks of 512 bytes
# Setting it up costs more exits than on MMIO, using it none.
expect "$output" '^xv2_vmm: info: blkpci0: [0-9]+ requests, [34][0-9][0-9] exits for its registers, [0-9.]+ a request$'
refuse "$output" '^status|one request after the other|xv2_vmm: warning: pci=off'

# A guest whose only disk is there, and who needs nothing said for it.
cat >"$scratch/content/run.sh" <<'GUEST'
grep " /mnt ext4 rw" /proc/mounts && echo "written by the guest" >/mnt/proof
echo "alone on $(basename "$(readlink -f /sys/block/vda/device/..)")"
[ -e /dev/vdb ] || echo "no other"
dmesg
GUEST
make_image "$scratch/root.img" 32M "$scratch/content"
output=$(again "$here/with-kvm" --timeout $patience --share "$scratch" -- "$XV2_VMM" --host-check=warn --kernel "$kernel" \
  --initrd "$initrd" --no-reboot --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' \
  --pci-disk "$scratch/root.img" --save-state "$scratch/state.toml" -v </dev/null 2>&1)
expect "$output" '^alone on 0000:00:00\.0$'
expect "$output" '^no other$'
expect "$output" '^xv2_vmm: info: blkpci0: [0-9]+ requests, [23][0-9][0-9] exits for its registers, [0-9.]+ a request$'
[[ $(debugfs -R 'cat /proof' "$scratch/root.img" 2>/dev/null) == 'written by the guest' ]]
refuse "$output" 'ACPI (BIOS )?(Error|Warning)|ACPI Exception|unchecked MSR|WARNING:|BUG:|Oops|rcu.*stall|Firmware Bug'
refuse "$output" 'pci.*(claim|conflict|fail|invalid|no space)'
state=$(<"$scratch/state.toml")
expect "$state" '^\[blkpci0\.transport\.registers\]$'
expect "$state" '^# VirtioBlkPci$'
refuse "$state" '^\[blkpci1'
