#!/bin/bash
# A few frames of each kind are measured, in the lab; all monitors have figures.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
measured bench/network --quick --processors 1 --lab --no-install
figure='[0-9][0-9,.]*'
if (($(rows "^\\| (datagrams, (one sender|two senders)|messages|out|in) +\\| (xv2_vmm(, tx-usecs 0)?|QEMU(, vhost)?) +(\\| $figure +){4}\\|$") != 20)); then
  printf 'not what was expected:\n%s\n' "$output"
  exit 1
fi
