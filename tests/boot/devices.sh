#!/bin/bash
# devices.sh: a stock guest with the modules for them finds the virtio devices beside disks and uses each.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
files=$(fetch_kernel cloud)
kernel=${files%%$'\n'*} modules=${files##*$'\n'}
initrd=$(make_initrd "$lab/guest-devices.cpio" "$here/guest-init" "$modules" virtio_mmio virtio_blk ext4 button evdev \
  virtio-rng)

mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
echo "rng $(cat /sys/class/misc/hw_random/rng_current) $(dd if=/dev/hwrng bs=64 count=16 2>/dev/null | wc -c)"
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | xxd -p >/mnt/first
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | xxd -p >/mnt/second
cmp -s /mnt/first /mnt/second || echo "rng differs"
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
output=$("$here/with-kvm" --share "$scratch" --timeout 240 -- "$XV2_VMM" --host-check=warn --kernel "$kernel" \
  --initrd "$initrd" --disk "$scratch/disk.img" --save-state "$scratch/state.toml" \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' </dev/null)
[[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]
expect "$output" '^rng virtio_rng\.0 1024$'
expect "$output" '^rng differs$'
expect "$(<"$scratch/state.toml")" '^\[rng0\]$'
