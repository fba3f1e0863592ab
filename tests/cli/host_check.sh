#!/bin/bash
# host_check.sh PROGRAM: on a host that the profile does not fit, xv2_vmm refuses with exit status 3 and names everything
# that is missing in one message; with --host-check=warn it goes on, to the next error.
set -euo pipefail
if grep -qE '^model\s*: 62$' /proc/cpuinfo && grep -q vmx /proc/cpuinfo; then
  echo "this host is an Ivy Bridge-EP: there is nothing to refuse"
  exit 77
fi
[[ -w /dev/kvm ]] || {
  echo "no usable /dev/kvm on this machine: xv2_vmm says that first"
  exit 77
}
status=0
said=$("$1" --kernel /dev/null 2>&1 </dev/null) || status=$?
[[ $status == 3 ]] || { echo "exit status $status, not 3: $said"; exit 1; }
[[ $said == *"does not fit this host"*"Ivy Bridge-EP"*"--host-check=warn"* ]] || { echo "said: $said"; exit 1; }
[[ $(wc -l <<<"$said") == 1 ]] || { echo "more than one message: $said"; exit 1; }
status=0
said=$("$1" --host-check=warn --kernel /does/not/exist 2>&1 </dev/null) || status=$?
[[ $status == 1 ]] || { echo "exit status $status, not 1: $said"; exit 1; }
[[ $said == *"warning: "*"does not fit this host"* && $said == *"/does/not/exist"*"No such file"* ]] || {
  echo "said: $said"
  exit 1
}
