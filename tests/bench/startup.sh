#!/bin/bash
# One start of each monitor is measured, in the lab; the monitors and the floor under them all have figures.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
measured bench/startup --quick --lab --no-install
figure='[0-9][0-9,]*'
# Two tables of times, with a figure for all three; one of memory, with a row for each.
if (($(rows "^\| 128M +(\| $figure +){5}\| 0\.[0-9]{2} ") != 2)) ||
  (($(rows "^\| 128M +\| (bare KVM|xv2_vmm|QEMU microvm) +(\| $figure +){5}\| ") != 3)); then
  printf 'not what was expected:\n%s\n' "$output"
  exit 1
fi
