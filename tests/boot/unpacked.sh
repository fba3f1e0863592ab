#!/bin/bash
# The monitor unpacks the kernel and keeps it: the second start finds it. The kernel's addresses differ from those it was
# linked for, as they do when it unpacks itself, and with nokaslr they do not.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
export XDG_CACHE_HOME=$scratch
linked=ffffffff81000000
text() { awk '$3 == "_text" { print $1 }' <<<"$1"; }
script='echo 0 >/proc/sys/kernel/kptr_restrict; grep " _text$" /proc/kallsyms; dmesg | grep -iE "BUG:|WARNING:"; true'

# Where it was linked is one place of nearly five hundred: once may be chance.
for try in 1 2; do
  output=$(boot --save-state "$scratch/state" --run "$script")
  refuse "$output" 'BUG|WARNING'
  [[ $(text "$output") == "$linked" && $try == 1 ]] || break
done
files=("$scratch"/axvm/*.kernel)
[[ ${#files[@]} == 1 && -f ${files[0]} ]]
[[ $(text "$output") =~ ^ffffffff[89ab][0-9a-f]{7}$ && $(text "$output") != "$linked" ]]

touch -d '2001-01-01' "${files[0]}"
output=$(boot --save-state "$scratch/state" --append nokaslr --run "$script")
[[ ${files[0]} -nt $root/CMakeLists.txt ]] # used: its time is now
[[ $(text "$output") == "$linked" ]]

rm "${files[0]}"
output=$(boot --save-state "$scratch/state" --run "$script" -- --no-unpack)
[[ -n $(text "$output") && ! -e ${files[0]} ]]
