#!/bin/bash
# A disk attached read-only is read, refuses writes, and is the same afterwards.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
mkdir "$scratch/content"
echo 'only to be read' >"$scratch/content/file"
make_image "$scratch/data.img" 16M "$scratch/content"
before=$(sha256sum <"$scratch/data.img")
output=$(boot --disk "$scratch/data.img,ro" --run '
  cat /mnt/file
  echo "ro $(cat /sys/block/vda/ro)"
  mount -o remount,rw /mnt 2>/dev/null || echo "no remount"
  dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct 2>/dev/null || echo "no write"')
expect "$output" '^only to be read$'
expect "$output" '^ro 1$'
expect "$output" '^no remount$'
expect "$output" '^no write$'
[[ $(sha256sum <"$scratch/data.img") == "$before" ]]
