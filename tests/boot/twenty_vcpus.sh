#!/bin/bash
# Twenty vCPUs come online, each does work bound to it, none stalls; all but the first go offline and come back, and each
# works again.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
output=$(boot --vcpus 20 --memory 1G --run '
  work() { # WORD: on each processor at once; says where it was
    i=0
    while [ $i -lt 20 ]; do
      taskset $(printf "%x" $((1 << i))) sh -c "n=0; while [ \$n -lt 2000 ]; do n=\$((n+1)); done
        echo $1 on \$(cut -d \" \" -f 39 /proc/\$\$/stat)" &
      i=$((i+1))
    done
    wait
  }
  all() { # 0 or 1: takes all processors but the first offline, or brings them back
    i=1
    while [ $i -lt 20 ]; do
      echo $1 >/sys/devices/system/cpu/cpu$i/online || echo "cpu$i would not"
      i=$((i+1))
    done
  }
  echo "online $(nproc)"
  work worked
  all 0
  echo "left $(cat /sys/devices/system/cpu/online)"
  all 1
  echo "back $(cat /sys/devices/system/cpu/online)"
  work again
  dmesg')
expect "$output" '^online 20$'
expect "$output" '^left 0$'
expect "$output" '^back 0-19$'
for ((i = 0; i < 20; ++i)); do
  expect "$output" "^worked on $i\$"
  expect "$output" "^again on $i\$"
done
expect "$output" 'smp: Brought up 1 node, 20 CPUs'
[[ $(grep -c 'is now offline' <<<"$output") == 19 ]]
refuse "$output" 'rcu.*stall|soft lockup|WARNING:|BUG:|failed to start|would not|Not responding|stuck'
