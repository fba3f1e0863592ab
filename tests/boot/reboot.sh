#!/bin/bash
# reboot.sh: a guest that reboots is started again by the same monitor, with everything but its disk forgotten.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
if [ -e /mnt/first ]; then
  echo "second life, up $(cut -d . -f 1 /proc/uptime) s"
else
  echo "first life"
  touch /mnt/first
  reboot
fi
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$XV2_VMM" --host-check=warn --kernel "$kernel" \
  --initrd "$initrd" --disk "$scratch/disk.img" --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda' </dev/null)
expect "$output" '^first life'
expect "$output" '^second life, up [0-9]+ s'
