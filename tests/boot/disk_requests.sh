#!/bin/bash
# disk_requests.sh DISK_WORK: a stock guest writes patterns to disks of every kind at once and reads them back: a raw
# image with a single queue, a sparse one, one past the page cache, a block device. Outside they hold what the guest
# says. A file that grows makes the disk grow. Discarding shrinks the file, zeroing makes zeroes, a read-only disk has
# neither. A host's full disk is an I/O error in the guest, and everything else goes on.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
fetch_kernel generic >/dev/null
mkdir "$scratch/content"
cp "$1" "$scratch/content/disk_work"
cat >"$scratch/content/run.sh" <<'GUEST'
work=$PWD/disk_work
for disk in b c d e; do
  echo "vd$disk $(cat /sys/block/vd$disk/queue/discard_max_bytes) $(cat /sys/block/vd$disk/queue/write_cache)" \
    "$(cat /sys/block/vd$disk/queue/physical_block_size) $(ls /sys/block/vd$disk/mq | wc -l)"
done
echo "vdf $(cat /sys/block/vdf/ro) $(cat /sys/block/vdf/queue/discard_max_bytes)"
for disk in b c d e; do
  $work verify /dev/vd$disk 4 150 >/tmp/$disk &
done
wait
for disk in b c d e; do
  echo "vd$disk: $(cat /tmp/$disk), $($work sum /dev/vd$disk)"
done
$work zero /dev/vdb 0x100000 0x80000 && echo zeroed
$work discard /dev/vdb 0x400000 0x400000 && $work discard /dev/vde 0x400000 0x100000 && echo discarded
echo "others than zeroes: $(dd if=/dev/vdb bs=64k skip=16 count=8 2>/dev/null | tr -d '\000' | wc -c)"
$work discard /dev/vdf 0 4096 || echo "no discard"
$work sum /dev/vdb
$work sum /dev/vde
$work fill /dev/vdg
dd if=/dev/vdg of=/dev/null bs=1M count=1 2>/dev/null && echo "full disk still reads"
echo "vdc has $(cat /sys/block/vdc/size)"
echo "waits for a larger disk"
tries=0
until [ "$(cat /sys/block/vdc/size)" = 65536 ] || [ $tries -gt 200 ]; do
  usleep 100000
  tries=$((tries + 1))
done
echo "vdc has $(cat /sys/block/vdc/size)"
echo grown | dd of=/dev/vdc bs=512 seek=65535 conv=sync,fsync 2>/dev/null
$work verify /dev/vdc 2 20
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"

cat >"$scratch/commands" <<'LAB'
#!/bin/bash
# commands DISK_WORK MODULES MONITOR...
set -eu
work=$1
modprobe -d "$2" -a loop ext4 || true
shift 2
cd "$(mktemp -d -p /dev/shm)"
truncate -s 400M file-system
truncate -s 48M device full-file-system
mke2fs -q -t ext4 -b 4096 -F file-system
mke2fs -q -t ext4 -b 4096 -F full-file-system
mkdir large small
mount -o loop file-system large
mount -o loop full-file-system small
loop=$(losetup -f --show device)
fallocate -l 24M large/raw
truncate -s 24M large/sparse large/direct large/read-only
truncate -s 200M small/too-large
blocks=$(stat -c %b large/raw)
monitor() {
  exec "$@" --disk large/raw --disk large/sparse --disk large/direct --disk "$loop" --disk large/read-only,ro \
    --disk small/too-large --blk3.direct --blk1.queues 1 </dev/null
}
mkfifo output
monitor "$@" >output 2>&1 &
while read -r line; do
  echo "$line"
  if [[ $line == *"waits for a larger disk"* ]]; then
    truncate -s 32M large/sparse
    kill -USR2 $!
  fi
done <output
wait $! || echo "status $?"
echo "behind the old end: $(dd if=large/sparse bs=512 skip=65535 count=1 2>/dev/null | tr -d '\000')"
echo "shrunk by $((blocks - $(stat -c %b large/raw)))"
for disk in large/raw large/sparse large/direct "$loop"; do
  echo "$disk: $("$work" sum "$disk")"
done
LAB
chmod +x "$scratch/commands"
output=$(again "$here/with-kvm" --timeout $patience --lab --share "$scratch" -- "$scratch/commands" "$1" \
  "$lab/kernel-generic" "$XV2_VMM" -v --host-check=warn --kernel "$kernel" --initrd "$initrd" --memory 256M --vcpus 2 --no-reboot \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' --disk "$scratch/disk.img" </dev/null 2>&1)
for disk in b c d e; do
  expect "$output" "^vd$disk: 0 of 4 went wrong, sum [0-9a-f]{16}\$"
done
expect "$output" '^vdb 1073741824 write back 4096 1$'
expect "$output" '^vdc 1073741824 write back 4096 2$'
expect "$output" '^vdf 1 0$'
sum_of() { sed -n "s|^$1: .*sum \([0-9a-f]*\)\$|\1|p" <<<"$output"; }
[[ $(sum_of vdd) == "$(sum_of large/direct)" ]]
expect "$output" '^zeroed$'
expect "$output" '^discarded$'
expect "$output" '^others than zeroes: 0$'
expect "$output" '^no discard$'
expect "$output" '^vdc has 49152$'
expect "$output" '^vdc has 65536$'
expect "$output" '^behind the old end: grown$'
expect "$output" '^filled until 5$'
expect "$output" '^full disk still reads$'
expect "$output" '^0 of 2 went wrong$'
expect "$output" '^shrunk by 8(1[0-9]{2}|2[0-9]{2})$' # 8192 blocks of 512 bytes, give or take what the file system needs itself
refuse "$output" '^status|one request after the other'
# What the guest summed up last.
mapfile -t sums < <(sed -n 's/^sum //p' <<<"$output")
[[ ${sums[0]} == "$(sum_of large/raw)" && ${sums[1]} == "$(sed -n 's|^/dev/loop[0-9]*: sum ||p' <<<"$output")" ]]
