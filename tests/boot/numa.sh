#!/bin/bash
# A host with two NUMA nodes and a guest that is given both: it sees two nodes, each with its processor and its memory,
# and a distance; what its processors use as their own lies on their node of the host. The host's second node is memory
# only (a second processor would make the lab unreliable), so vCPUs are pinned to none.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
cd /sys/devices/system/node
echo "nodes $(cat online)"
for node in 0 1; do
  echo "node $node cpus $(cat node$node/cpulist) distance $(cat node$node/distance)"
  echo "total $node $(awk '/MemTotal/ { print int($4 / 1024) }' node$node/meminfo)"
done
# On each processor a process with a buffer of 16 MiB: it is full once the process writes from it.
for cpu in 0 1; do
  mkfifo /tmp/$cpu
  taskset $((1 << cpu)) dd if=/dev/zero of=/tmp/$cpu bs=16M count=1 2>/dev/null &
  eval "exec $((4 + cpu))</tmp/$cpu"
  dd bs=1 count=1 of=/dev/null 2>/dev/null <&$((4 + cpu))
  grep -E 'anon=4[0-9]{3} ' /proc/$!/numa_maps | sed "s/^/buffer $cpu /"
done
echo filled
read -r word </dev/ttyS0
echo "heard $word"
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"

cat >"$scratch/commands" <<'LAB'
#!/bin/bash
set -u
mkfifo /tmp/in
exec 3<>/tmp/in
"$@" </tmp/in >/tmp/out 2>&1 &
tail -s 0.05 --pid=$! -n +1 -F /tmp/out 2>/dev/null | while read -r line; do
  echo "$line"
  [[ $line == filled* ]] || continue
  sed 's/^/numa_maps /' /proc/$!/numa_maps
  echo go >&3
done
wait $!
echo "status $?"
LAB
chmod +x "$scratch/commands"
output=$(again "$here/with-kvm" --timeout $patience --lab --numa --memory 3G --share "$scratch" -- "$scratch/commands" \
  "$XV2_VMM" --host-check=warn --kernel "$kernel" --initrd "$initrd" --disk "$scratch/disk.img" --no-reboot \
  --vcpus 2 --memory 512M --numa 0:256M:0,1:256M:1 --pin none --memory-backing small \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda' </dev/null)
expect "$output" '^nodes 0-1\b'
expect "$output" '^node 0 cpus 0 distance 10 20\b'
expect "$output" '^node 1 cpus 1 distance 20 10\b'
for cpu in 0 1; do
  total=$(sed -n "s/^total $cpu \([0-9]*\).*/\1/p" <<<"$output")
  ((total > 150 && total <= 256)) || refuse "$output" '.'
  expect "$output" "^buffer $cpu .* N$cpu=4[0-9]{3} "
  refuse "$output" "^buffer $cpu .* N$((1 - cpu))="
  # The guest's memory of this node: bound, all its pages there, the 16 MiB among them, none on the other node.
  pages=$(sed -n "s/^numa_maps [0-9a-f]* bind:$cpu .* N$cpu=\([0-9]*\).*/\1/p" <<<"$output" | sort -n | tail -n 1)
  ((${pages:-0} >= 16 * 256 && ${pages:-0} <= 256 * 256)) || refuse "$output" '.'
  refuse "$output" "^numa_maps [0-9a-f]* bind:$cpu .* N$((1 - cpu))="
done
expect "$output" '^heard go'
expect "$output" '^status 0$'
