#!/usr/bin/env bash
# usage: one_line_changed.sh MAIN CHANGED
# Adding a device to xv2_vmm is one line of its source: the two files differ in exactly one, which names the device.

set -euo pipefail
changes=$(diff "$1" "$2" | grep '^>' || true)
if [[ $(wc -l <<<"$changes") != 1 || $changes != *Doorbell* ]]; then
  printf 'not exactly one line differs:\n%s\n' "$changes" >&2
  exit 1
fi
