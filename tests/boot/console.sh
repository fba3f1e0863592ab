#!/bin/bash
# The console as a person uses it; see console.py.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
make_image "$scratch/disk.img" 16M
again timeout $patience python3 -B "$(dirname -- "${BASH_SOURCE[0]}")/console.py" "$root/examples/xv2_vmm/boot-linux" "$scratch/disk.img"
