#!/bin/bash
# three_words.sh PROGRAM: Machine<IvyBridgeXv2, Devices<Uart8250, Pit8254, VirtioBlk>>, in exactly this spelling, boots
# Linux and powers off.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
mkdir "$scratch/content"
echo 'echo "hello from three words"' >"$scratch/content/run.sh"
make_image "$scratch/disk.img" 32M "$scratch/content"
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$1" "$kernel" "$initrd" "$scratch/disk.img" </dev/null)
expect "$output" '^hello from three words'
expect "$output" '^powered off$'
[[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]
