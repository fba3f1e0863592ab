#!/bin/bash
# disk.sh VCPUS: a stock Debian kernel finds its disk without being told, writes a file; the host then has it, and the
# file system is clean. The guest's log shows nothing that should not be there. What the devices are left with is saved.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
make_image "$scratch/data.img" 64M
output=$(boot --vcpus "$1" --disk "$scratch/data.img" --save-state "$scratch/state.toml" --run '
  grep " /mnt ext4 rw" /proc/mounts && echo "written by the guest" >/mnt/proof && sync
  echo "online $(nproc)"
  echo "capacity $(cat /sys/block/vda/size)"
  echo "serial $(cat /sys/block/vda/serial)"
  dd if=/dev/urandom of=/mnt/big bs=64k count=200 2>/dev/null && sha256sum </mnt/big >/mnt/big.sum
  dmesg' -- -v 2> >(tee "$scratch/errors" >&2))
expect "$output" "^online $1\$"
expect "$output" '^capacity 131072$'
expect "$output" '^serial data\.img$'
# Setting the device up costs exits, a queue for each processor nine, using it none.
expect "$(tr -d '\r' <"$scratch/errors")" '^xv2_vmm: info: blk0: [0-9]+ requests, [1-5]?[0-9] exits for its registers, 0\.[0-9][0-9] a request$'
expect "$output" 'ttyS0 at I/O 0x3f8 \(irq = 4, .*\) is a 16550A'
expect "$output" 'crng init done'
refuse "$output" 'ACPI (BIOS )?(Error|Warning)|ACPI Exception|unchecked MSR|WARNING:|BUG:|Oops|rcu.*stall|XSAVE consistency|inconsistent MTRR|fast string'
e2fsck -fn "$scratch/data.img" >"$scratch/fsck" 2>&1 || {
  cat "$scratch/fsck"
  exit 1
}
[[ $(debugfs -R 'cat /proof' "$scratch/data.img" 2>/dev/null) == 'written by the guest' ]]
debugfs -R "dump /big $scratch/big" "$scratch/data.img" 2>/dev/null
[[ $(sha256sum <"$scratch/big") == "$(debugfs -R 'cat /big.sum' "$scratch/data.img" 2>/dev/null)" ]]

# Every device that was there, by its name and its class; not the absent disks.
state=$(<"$scratch/state.toml")
for device in acpipower0 uart0 pit0 blk0 blk1 ioapic0; do
  expect "$state" "^\\[$device\\]\$"
done
expect "$state" '^# VirtioBlk$'
refuse "$state" '^\[blk2'
expect "$(sed -n '/^\[acpipower0\]/,/^$/p' <<<"$state")" '^pm1_cnt = [0-9]+$'
expect "$(sed -n '/^\[uart0\]/,/^$/p' <<<"$state")" '^fcr = (129|193|1|65)$'
