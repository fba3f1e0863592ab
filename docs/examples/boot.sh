#!/bin/bash
# boot.sh PROGRAM: the program of the README boots a stock Debian kernel, here or in the lab, and ends when it powers
# off.
# shellcheck disable=SC1091,SC2154 # lab and here are set by common.sh
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../../tests/lab/common.sh"
mkdir -p "$lab"
scratch=$(mktemp -d "$lab/readme.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
files=$(fetch_kernel cloud)
kernel=${files%%$'\n'*} modules=${files##*$'\n'}
initrd=$(make_initrd "$lab/guest.cpio" "$here/guest-init" "$modules" virtio_mmio virtio_blk ext4 button evdev)
mkdir "$scratch/content"
# shellcheck disable=SC2016 # for the guest
echo 'echo "$(uname -sr), $(nproc) processors, $(($(cat /sys/block/vda/size) / 2048)) MiB on /dev/vda"' >"$scratch/content/run.sh"
truncate -s 32M "$scratch/disk.img"
mkfs.ext4 -q -F -E root_owner=0:0 -d "$scratch/content" "$scratch/disk.img"
# One processor in the lab: its machines with several vCPUs are not reliable on more.
output=$("$here/with-kvm" --share "$scratch" --timeout 900 -- "$1" "$kernel" "$initrd" "$scratch/disk.img" \
  'console=ttyS0 panic=1 pci=off quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' </dev/null)
printf '%s\n' "$output"
grep -q '^Linux 6\.1\.[-0-9a-z]*, 2 processors, 32 MiB on /dev/vda' <<<"$output"
grep -q '^powered off$' <<<"$output"
