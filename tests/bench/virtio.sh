#!/bin/bash
# A few requests of a disk are measured, in the lab, and the floor; all monitors have figures, and a request of ours costs
# its guest hardly an exit to the monitor (boot.exits has them exactly).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
measured bench/virtio --quick --only clock --processors 1 --lab --no-install
figure='[0-9][0-9,.]*'
if (($(rows "^\\| .*(null_blk|pread|eventfd|together).* \\| $figure +\\|$") != 6)) ||
  (($(rows "^\\| (1|32) +\\| (xv2_vmm(, PCI)?|QEMU, (PCI, )?(io_uring|threads|main loop)) +(\\| $figure +){6}\\|$") != 16)) ||
  (($(rows "^\\| (1|32) +\\| xv2_vmm(, PCI)? +(\\| $figure +){3}\\| 0\\.[0-4][0-9] ") != 4)) ||
  (($(rows "^\\| (xv2_vmm(, PCI)?|QEMU, (PCI, )?(io_uring|threads|main loop)) +(\\| $figure +){3}\\|$") != 8)); then
  printf 'not what was expected:\n%s\n' "$output"
  exit 1
fi
