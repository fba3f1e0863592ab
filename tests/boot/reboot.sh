#!/bin/bash
# reboot.sh: a guest that reboots is started again by the same monitor, with everything but its disks forgotten. It finds
# them again, the one on PCI too, which its earlier life has set up, used and, after a reset at once, was still using.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest-pci virtio_pci
mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
interrupts_of_vdb() {
  awk -v name="$(basename "$(readlink -f /sys/block/vdb/device)")-req.0" '$NF == name { print $2 }' /proc/interrupts
}
echo "vdb on $(basename "$(readlink -f /sys/block/vdb/device/..)"), $(cat /sys/block/vdb/serial)"
if [ -e /mnt/second ]; then
  echo "third life, up $(cut -d . -f 1 /proc/uptime) s"
elif [ -e /mnt/first ]; then
  echo "second life, up $(cut -d . -f 1 /proc/uptime) s"
  echo "on the other disk: $(head -n 1 /dev/vdb)"
else
  echo "first life"
  echo "written before" | dd of=/dev/vdb bs=512 conv=sync,fsync 2>/dev/null
fi
before=$(interrupts_of_vdb)
dd if=/dev/vdb of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null
echo "20 reads, $(($(interrupts_of_vdb) - before)) interrupts"
if [ ! -e /mnt/first ]; then
  touch /mnt/first
  reboot
elif [ ! -e /mnt/second ]; then
  touch /mnt/second
  mount -o remount,ro /mnt
  while :; do dd if=/dev/vdb of=/dev/null bs=64k iflag=direct 2>/dev/null; done &
  usleep 300000
  echo b >/proc/sysrq-trigger
fi
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
truncate -s 16M "$scratch/other.img"
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$XV2_VMM" --host-check=warn --kernel "$kernel" \
  --initrd "$initrd" --disk "$scratch/disk.img" --pci-disk "$scratch/other.img" \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' </dev/null)
expect "$output" '^first life$'
expect "$output" '^second life, up [0-9]+ s$'
expect "$output" '^third life, up [0-9]+ s$'
expect "$output" '^on the other disk: written before$'
[[ $(grep -c '^vdb on 0000:00:00.0, other.img$' <<<"$output") == 3 ]]
[[ $(grep -c '^20 reads, 20 interrupts$' <<<"$output") == 3 ]]
