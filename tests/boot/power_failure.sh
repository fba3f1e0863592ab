#!/bin/bash
# power_failure.sh POWER_MONITOR DISK_WORK: after a power failure everything that a completed flush covered is in the
# image. A guest writes numbered blocks, flushes, and reports; at a random moment the power of the *outer* machine goes,
# and with it what its kernel has not written: killing the monitor would leave that. A monitor that lies about flushes
# must be found out.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
fetch_kernel generic >/dev/null
mkdir "$scratch/content"
cp "$2" "$scratch/content/disk_work"
echo './disk_work number /dev/vdb' >"$scratch/content/run.sh"
make_image "$scratch/disk.img" 32M "$scratch/content"
cat >"$scratch/commands" <<'LAB'
#!/bin/bash
# commands MODULES IMAGE MONITOR...: the image as a block device, with this machine's page cache before it
modprobe -d "$1" loop
loop=$(losetup -f --show "$2")
shift 2
exec "$@" "$loop" </dev/null
LAB
chmod +x "$scratch/commands"

# cut_power KIND: runs the monitor, and cuts the power after a random number of reports. Sets stable to the last number
# that was reported as such.
cut_power() {
  local wanted=$((RANDOM % 40 + 10)) machine seen
  truncate -s 0 "$scratch/image"
  truncate -s 16M "$scratch/image"
  : >"$scratch/output"
  "$here/with-kvm" --lab --timeout $patience --share "$scratch" -- "$scratch/commands" "$lab/kernel-generic" "$scratch/image" \
    "$monitor" "$1" "$kernel" "$initrd" "$scratch/disk.img" </dev/null >"$scratch/output" 2>"$scratch/errors" &
  machine=$!
  seen=$(timeout $((patience + 20)) tail -s 0.02 --pid=$machine -n +1 -f "$scratch/output" 2>/dev/null |
    grep -m $wanted --line-buffered -c '^stable ' || true)
  kill -HUP $machine # cuts it off at once
  wait $machine || true
  stable=$(sed -n 's/^stable \([0-9]*\)\r\{0,1\}$/\1/p' "$scratch/output" | tail -n 1)
  [[ $seen == "$wanted" && -n $stable ]] || {
    cat "$scratch/output" "$scratch/errors"
    exit 1
  }
}

monitor=$1
for round in 1 2 3; do
  cut_power honest
  echo "round $round: $("$2" check "$scratch/image" "$stable")" || true
  "$2" check "$scratch/image" "$stable" >/dev/null
done
cut_power lying
echo "lying: $("$2" check "$scratch/image" "$stable" || true)"
! "$2" check "$scratch/image" "$stable" >/dev/null
