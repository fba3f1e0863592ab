#!/bin/bash
# host_check.sh report PROGRAM: --check-host prints every requirement and a verdict that agrees with its exit status, 0 or
# 3, and needs neither a kernel nor /dev/kvm.
# host_check.sh refusal PROGRAM: on a host that the profile does not fit, xv2_vmm refuses with exit status 3 and names
# everything that is missing in one message; with --host-check=warn it goes on, to the next error.
set -euo pipefail
part=$1 program=$2
fail() {
  echo "$*"
  exit 1
}
# run ARGUMENT...: sets status and said
run() {
  status=0
  said=$("$program" "$@" 2>&1 </dev/null) || status=$?
}

if [[ $part == report ]]; then
  # Where this is root's, it runs once more as somebody who may open nothing.
  nobody=()
  if ((EUID == 0)); then
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    chmod 755 "$copy"
    install -m 755 "$program" "$copy/xv2_vmm"
    nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups "$copy/xv2_vmm")
  fi
  run --check-host
  [[ $status == 0 || $status == 3 ]] || fail "exit status $status: $said"
  for name in 'Ivy Bridge-EP' VT-x EPT 'invariant TSC' x2APIC 'TSC scaling' APICv 'posted interrupts' '1 GiB pages'; do
    [[ $(grep -cE "^.*$name.* +(yes|optional) +(yes|no) +[^ ]" <<<"$said") == 1 ]] || fail "no line for $name: $said"
  done
  missing=$(grep -cE ' yes +no ' <<<"$said") || true
  verdict=$(tail -n 1 <<<"$said")
  if ((missing)); then
    [[ $status == 3 && $verdict == "This host does not fit "*": $missing requirement"* ]] || fail "$status: $said"
  else
    [[ $status == 0 && $verdict == "This host fits "* ]] || fail "$status: $said"
  fi
  # Other settings do not matter, and what they say of a misfit does not either; but they must be right.
  before=$status
  run --check-host --host-check=warn --kernel /does/not/exist
  [[ $status == "$before" ]] || fail "exit status $status, not $before: $said"
  run --check-host --vcpus many
  [[ $status == 2 ]] || fail "exit status $status, not 2: $said"
  status=0
  "$program" --check-host >/dev/full || status=$?
  [[ $status == 1 ]] || fail "exit status $status, not 1, where nothing can be written"
  if ((${#nobody[@]})); then
    status=0
    said=$("${nobody[@]}" --check-host 2>&1) || status=$?
    [[ $status == 0 || $status == 3 ]] || fail "as nobody, exit status $status: $said"
    [[ $(tail -n 1 <<<"$said") == "This host "*"fit"* ]] || fail "as nobody: $said"
  fi
  exit 0
fi

if grep -qE '^model\s*: 62$' /proc/cpuinfo && grep -q vmx /proc/cpuinfo; then
  echo "this host is an Ivy Bridge-EP: there is nothing to refuse"
  exit 77
fi
[[ -w /dev/kvm ]] || {
  echo "no usable /dev/kvm on this machine: xv2_vmm says that first"
  exit 77
}
run --kernel /dev/null
[[ $status == 3 ]] || fail "exit status $status, not 3: $said"
[[ $said == *"does not fit this host"*"Ivy Bridge-EP"*"--host-check=warn"*"--check-host lists everything" ]] ||
  fail "said: $said"
[[ $said != *"TSC scaling"* ]] || fail "what is optional is no reason: $said"
# One message for the host, and one for the kernel, which is none.
[[ $(wc -l <<<"$said") == 2 && $(grep -c "does not fit" <<<"$said") == 1 && $said == *"open kernel /dev/null"* ]] ||
  fail "not two messages: $said"
run --host-check=warn --kernel /does/not/exist
[[ $status == 1 ]] || fail "exit status $status, not 1: $said"
[[ $said == *"warning: "*"does not fit this host"* && $said == *"/does/not/exist"*"No such file"* ]] || fail "said: $said"
[[ $said != *"TSC scaling"* ]] || fail "what is optional is no warning: $said"
run --host-check=warn --verbose --kernel /does/not/exist
[[ $said == *"info: this host lacks"*"TSC scaling"* ]] || fail "said: $said"
