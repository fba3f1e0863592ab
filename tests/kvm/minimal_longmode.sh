#!/bin/bash
# minimal_longmode.sh PROGRAM: the example says exactly what its page of the tutorial says it does.
set -euo pipefail
if [[ ! -w /dev/kvm ]]; then
  echo "no usable /dev/kvm on this machine"
  exit 77
fi
output=$("$1")
expected='Validation PASSED: RAX=0xcafebabedeadbeef
64-bit Long Mode confirmed'
[[ $output == "$expected" ]] || {
  printf 'expected:\n%s\nprinted:\n%s\n' "$expected" "$output"
  exit 1
}
