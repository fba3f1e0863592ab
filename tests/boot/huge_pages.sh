#!/bin/bash
# Guest memory from pools of huge pages, which the lab has and this machine may not: forced without a pool it is an
# error, with one a guest boots and its memory really comes from there; the same with pages of 1 GiB, locked and
# prefaulted.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<'GUEST'
awk '/MemTotal/ { print "total", int($2 / 1024) }' /proc/meminfo
dd if=/dev/zero of=/run/big bs=1M count=50 2>/dev/null && echo filled
read -r word </dev/ttyS0
echo "heard $word"
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"

cat >"$scratch/commands" <<'LAB'
#!/bin/bash
set -u
pools=/sys/kernel/mm/hugepages
# Before anything else is in its way; a machine of 6 GiB has such a page even so.
[[ ! -d $pools/hugepages-1048576kB ]] || echo 1 >$pools/hugepages-1048576kB/nr_hugepages
said=$("$@" --memory 256M --memory-backing=hugetlb_2m 2>&1 </dev/null)
echo "forced $? $said"

# run KB OPTION...: boots on the pool of this page size; looks at pool and monitor when the guest is up, and afterwards
run() {
  local pool=$pools/hugepages-$1kB line
  shift
  echo "pool $(<"$pool/nr_hugepages") $(<"$pool/free_hugepages")"
  local files
  files=$(mktemp -d)
  mkfifo "$files/in"
  exec 3<>"$files/in"
  "${monitor[@]}" -v "$@" <"$files/in" >"$files/out" 2>&1 &
  tail -s 0.05 --pid=$! -n +1 -F "$files/out" 2>/dev/null | while read -r line; do
    echo "$line"
    [[ $line == filled* ]] || continue
    echo "free $(<"$pool/free_hugepages") reserved $(<"$pool/resv_hugepages")"
    awk '/^Private_Hugetlb:/ { sum += $2 } END { print "hugetlb", sum }' /proc/$!/smaps
    grep VmLck /proc/$!/status
    echo go >&3
  done
  wait $!
  echo "status $?"
  exec 3>&-
  rm -r "$files"
  echo "afterwards free $(<"$pool/free_hugepages") reserved $(<"$pool/resv_hugepages")"
}
monitor=("$@")
echo 130 >$pools/hugepages-2048kB/nr_hugepages
run 2048 --memory 256M --memory-backing=hugetlb_2m
echo 0 >$pools/hugepages-2048kB/nr_hugepages
[[ -d $pools/hugepages-1048576kB ]] || exit 0
echo == 1 GiB
run 1048576 --memory 1028M --mlock
LAB
chmod +x "$scratch/commands"
output=$(again "$here/with-kvm" --timeout $patience --lab --memory 6G --share "$scratch" -- "$scratch/commands" \
  "$XV2_VMM" --host-check=warn --kernel "$kernel" --initrd "$initrd" --disk "$scratch/disk.img" --no-reboot \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda' </dev/null)
first=${output%%== 1 GiB*} second=${output#*== 1 GiB}
expect "$first" '^forced 1 '
expect "$first" 'back 256 MiB of guest memory with 2-MiB pages: it takes 128, the host has 0 to give'
expect "$first" 'echo 128 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages '
expect "$first" '^pool 130 130$'
expect "$first" 'guest memory: 256 MiB of 2-MiB pages'
expect "$first" '^heard go'
expect "$first" '^VmLck:[[:space:]]+0 kB$'
expect "$first" '^status 0$'
expect "$first" '^afterwards free 130 reserved 0$'
used=$(awk '/^hugetlb/ { print $2 / 2048 }' <<<"$first")
# All that the guest touched, the 50 MiB among it, and nothing that is still only promised.
((used >= 25 && used <= 128))
expect "$first" "^free $((130 - used)) reserved $((128 - used))\$"

[[ $second != "$output" ]] || {
  echo "the lab's processor has no 1-GiB pages" >&2
  exit 1
}
expect "$second" '^pool 1 1$'
expect "$second" 'guest memory: 1 GiB of 1-GiB pages, 4 MiB of transparent huge pages, locked'
expect "$second" '^hugetlb 1048576$'
expect "$second" '^VmLck:[[:space:]]+4096 kB$'
expect "$second" '^heard go'
expect "$second" '^status 0$'
expect "$second" '^afterwards free 1 reserved 0$'
