#!/bin/bash
# doorbell.sh XV2_VMM_WITH_DOORBELL: the device that one word added to xv2_vmm's list, as a stock guest sees it: a node
# in the DSDT with the _HID, the window and the line that describe shows, and registers that answer. What the guest did
# with it is in the saved state.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest

# window, line: as describe shows them
read -r window size line < <("$1" --describe=json | python3 -c '
import json, sys
(bell,) = [device for device in json.load(sys.stdin)["devices"] if device["type"] == "Doorbell"]
print("%#x" % bell["mmio"][0]["base"], bell["mmio"][0]["size"], bell["irqs"][0]["line"])')

mkdir "$scratch/content"
cat >"$scratch/content/run.sh" <<GUEST
node=/sys/bus/acpi/devices/AXVM0B31:00
echo "node \$(cat \$node/hid) \$(cat \$node/path) \$(cat \$node/uid)"
echo "window \$(grep AXVM0B31 /proc/iomem)"
cat /sys/firmware/acpi/tables/DSDT >/mnt/dsdt.aml
for ring in 1 2 3; do devmem $window 32 \$((ring * 7)); done
echo "rings \$(devmem $window 32)"
sync
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- "$1" --host-check=warn --kernel "$kernel" \
  --initrd "$initrd" --disk "$scratch/disk.img" --doorbell0.tone buzz --save-state "$scratch/state.toml" \
  --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda' </dev/null)
expect "$output" '^node AXVM0B31 \\_SB_\.BEL0 0'
expect "$output" "^window *$(printf '%08x-%08x' "$window" $((window + size - 1))) : AXVM0B31:00"
expect "$output" '^rings 0x0*3\b'
[[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]

# The table as the guest's kernel has it, in ACPI's own language.
debugfs -R "dump /dsdt.aml $scratch/dsdt.aml" "$scratch/disk.img" 2>/dev/null
(cd "$scratch" && iasl -d dsdt.aml) >"$scratch/iasl" 2>&1 || {
  cat "$scratch/iasl"
  exit 1
}
node=$(sed -n '/Device (BEL0)/,/^    *Device (/p' "$scratch/dsdt.dsl")
expect "$node" 'Name \(_HID, "AXVM0B31"\)'
expect "$node" 'Memory32Fixed \(ReadWrite,'
expect "$node" "^ *0x$(printf '%08X' "$window"), +// Address Base"
expect "$node" "^ *0x$(printf '%08X' "$line"),"

python3 - "$scratch/state.toml" <<'CHECK'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    state = tomllib.load(file)["doorbell0"]
assert (state["rings"], state["tone"], state["last_value"]) == (3, "buzz", 21), state
CHECK
