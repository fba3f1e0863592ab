# shellcheck shell=bash
# shellcheck disable=SC2034 # its variables are for those who source it
# What the boot tests share. To be sourced; XV2_VMM names the monitor under test.

set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../lab/common.sh"
[[ -x ${XV2_VMM:-} ]] || die "XV2_VMM does not name a monitor"
export AXVM_XV2_VMM=$XV2_VMM

mkdir -p "$lab"
scratch=$(mktemp -d "$lab/test.XXXXXX")

# What a guest said is the first thing to know of a test that failed.
ended() {
  local status=$?
  [[ $status == 0 || $status == 77 || -n ${reported:-} ]] || printf '%s\n' "${output:-}"
  rm -rf "$scratch"
}
trap ended EXIT

# How long something may take that takes a minute: several times as long, for in an emulator on a busy machine it may.
patience=400

# again COMMAND...: runs it, and once more if it does not come to its end: in the lab guests may be stuck for long, for their
# processors share an emulated one that does not end loops in which they wait for each other. What hangs by its own fault
# hangs twice. Its standard output is that of the last time.
again() {
  local status=0
  "$@" >"$scratch/said" || status=$?
  if ((status == 124 || status == 137)); then
    { echo "not done after $patience s, so once more; what it said:" && cat "$scratch/said"; } >&2
    status=0
    "$@" >"$scratch/said" || status=$?
  fi
  cat "$scratch/said"
  return "$status"
}

# boot [OPTION...]: boot-linux, its standard error kept for the report of a failure. Too late, it is asked to power off, and
# half a minute later asked again, which ends the lab at once.
boot() {
  again timeout --foreground $((patience + 30)) timeout --foreground -k 60 $patience \
    "$root/examples/xv2_vmm/boot-linux" --no-install "$@" </dev/null
}

# stock_guest NAME [MODULE...]: Debian's kernel, and an initrd that runs what is on a disk: with the modules for that and
# those named, kept as NAME. Sets kernel, modules (their directory) and initrd
stock_guest() {
  local files name=$1
  shift
  files=$(fetch_kernel cloud)
  kernel=${files%%$'\n'*} modules=${files##*$'\n'}
  initrd=$(make_initrd "$lab/$name.cpio" "$here/guest-init" "$modules" virtio_mmio virtio_blk ext4 button evdev "$@")
}

# expect TEXT PATTERN: the text has a line that matches
expect() {
  grep -qE -- "$2" <<<"$1" || {
    printf 'no line matches %s in:\n%s\n' "$2" "$1"
    reported=1
    exit 1
  }
}

# refuse TEXT PATTERN: no line matches
refuse() {
  ! grep -E -- "$2" <<<"$1" || {
    printf 'unexpected (%s) in:\n%s\n' "$2" "$1"
    reported=1
    exit 1
  }
}

# make_image FILE SIZE [DIR]: an ext4 file system in a file
make_image() {
  truncate -s "$2" "$1"
  mkfs.ext4 -q -F -E root_owner=0:0 ${3:+-d "$3"} "$1"
}
