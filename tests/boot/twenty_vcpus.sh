#!/bin/bash
# Twenty vCPUs come online, each does work bound to it, none stalls.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
output=$(boot --vcpus 20 --memory 1G --run '
  echo "online $(nproc)"
  i=0
  while [ $i -lt 20 ]; do
    taskset $(printf "%x" $((1 << i))) sh -c "n=0; while [ \$n -lt 2000 ]; do n=\$((n+1)); done
      echo worked on \$(cut -d \" \" -f 39 /proc/\$\$/stat)" &
    i=$((i+1))
  done
  wait
  dmesg')
expect "$output" '^online 20$'
for ((i = 0; i < 20; ++i)); do expect "$output" "^worked on $i\$"; done
expect "$output" 'smp: Brought up 1 node, 20 CPUs'
refuse "$output" 'rcu.*stall|soft lockup|WARNING:|BUG:|failed to start'
