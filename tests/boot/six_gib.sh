#!/bin/bash
# Memory beyond the device hole continues at 4 GiB; the guest sees all of it and can use it.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
output=$(boot --memory 6G --run '
  awk "/MemTotal/ { print \"total\", int(\$2 / 1024) }" /proc/meminfo
  grep "System RAM" /proc/iomem
  dd if=/dev/zero of=/run/big bs=1M count=400 2>/dev/null && echo filled')
expect "$output" '^filled$'
expect "$output" '^00100000-cfffffff : System RAM'
expect "$output" '^100000000-1afffffff : System RAM'
total=$(awk '/^total/ { print $2 }' <<<"$output")
((total > 5800 && total <= 6144))
