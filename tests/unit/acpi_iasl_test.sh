#!/bin/sh
# Reads every ACPI table of the unit tests' sample machines with ACPICA's own tools, as Linux would:
#   acpi_iasl_test.sh UNIT_TEST_PROGRAM
# iasl must disassemble each table and compile the result again without error, warning or remark, to the same bytes;
# acpiexec must load each FADT and DSDT silently and evaluate its objects. Needs the Debian package acpica-tools.
set -eu

unit=${1:?usage: acpi_iasl_test.sh UNIT_TEST_PROGRAM}
for tool in iasl acpiexec; do
  if ! command -v "$tool" >/dev/null; then
    echo "acpi_iasl_test: no $tool: install the Debian package acpica-tools" >&2
    exit 1
  fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tables"
if ! AXVM_ACPI_DUMP="$work/tables" "$unit" --test-case='*ACPI tables*,*FADT*' >"$work/log" 2>&1; then
  cat "$work/log"
  exit 1
fi

fail() {
  echo "acpi_iasl_test: $*" >&2
  cat "$work/log" >&2
  exit 1
}

# Fails when the log of the last command has a complaint in it.
quiet() {
  if grep -iE 'error|warning|remark|exception|incorrect|invalid|not contain|could not|unknown' "$work/log" |
    grep -vE '0 Errors, 0 Warnings, 0 Remarks' >"$work/complaints"; then
    return 1
  fi
}

# The differing bytes of two files as decimal offsets from 1, without those that a compiler fills in itself: Checksum,
# Creator ID and Creator Revision.
differences() {
  cmp -l "$1" "$2" | awk '$1 != 10 && ($1 < 29 || $1 > 36) { print $1 }'
}

# read_table FILE: what has to hold for one table.
read_table() {
  table=$1
  base=${table%.dat}
  # -dl writes ASL in the old style, which keeps every operator as it was encoded.
  iasl -dl "$table" >"$work/log" 2>&1 || return 1
  quiet || return 1
  # -oa keeps the compiler from optimising what it is given.
  iasl -oa -p "$base-again" "$base.dsl" >"$work/log" 2>&1 || return 1
  quiet || return 1
  case $table in
    *-DSDT.dat)
      # Not the same bytes, because iasl leaves the checksum of an End Tag zero; the same length and the same code.
      [ "$(wc -c <"$table")" -eq "$(wc -c <"$base-again.aml")" ] || return 1
      iasl -dl -p "$base-again" "$base-again.aml" >"$work/log" 2>&1 || return 1
      sed '/^ \*/d' "$base.dsl" | grep -v '^DefinitionBlock' >"$work/first"
      sed '/^ \*/d' "$base-again.dsl" | grep -v '^DefinitionBlock' >"$work/second"
      cmp "$work/first" "$work/second" >"$work/log" 2>&1
      ;;
    *)
      [ "$(wc -c <"$table")" -eq "$(wc -c <"$base-again.aml")" ] && [ -z "$(differences "$table" "$base-again.aml")" ]
      ;;
  esac
}

count=0
for table in "$work"/tables/*.dat; do
  case $table in *-RSDP.dat) continue ;; esac  # iasl does not disassemble an RSDP; see below
  read_table "$table" || fail "$(basename "$table" .dat) is not read without complaint"
  count=$((count + 1))
done
[ "$count" -ge 38 ] || fail "only $count tables were written"

# The RSDP is compiled from its fields and must come out as the same 36 bytes, both checksums included.
for table in "$work"/tables/*-RSDP.dat; do
  xsdt=$(od -An -v -tx8 -j24 -N8 "$table" | tr -d ' ')
  {
    echo 'Signature : "RSD PTR "'
    echo 'Checksum : 00'
    echo 'Oem ID : "AXVM  "'
    echo 'Revision : 02'
    echo 'RSDT Address : 00000000'
    echo 'Length : 00000024'
    echo "XSDT Address : $xsdt"
    echo 'Extended Checksum : 00'
    echo 'Reserved : 000000'
  } >"$work/rsdp.asl"
  iasl -p "$work/rsdp" "$work/rsdp.asl" >"$work/log" 2>&1 && quiet || fail "the fields of an RSDP do not compile"
  cmp "$table" "$work/rsdp.aml" || fail "$(basename "$table" .dat) is not what iasl makes of its fields"
done

# evaluate MACHINE COMMANDS EXPECTED...: runs acpiexec's commands (separated by ';'); its output must have each of the
# EXPECTED patterns.
evaluate() {
  machine=$1
  if ! acpiexec -b "$2" "$work/tables/$machine-FACP.dat" "$work/tables/$machine-DSDT.dat" </dev/null >"$work/log" 2>&1
  then
    fail "acpiexec: $2"
  fi
  quiet || fail "acpiexec complains about $machine: $(head -1 "$work/complaints")"
  shift 2
  for expected in "$@"; do
    grep -qE "$expected" "$work/log" || fail "acpiexec does not show $expected for $machine"
  done
}
evaluate small 'execute \_S5' 'Contains 4 Elements' '\[Integer\] = 0000000000000005'
evaluate other 'execute \_SB.C000._UID' '\[Integer\] = 0000000000000000'
evaluate xv2 'execute \_SB.VR17._UID;resources \_SB.VR05;resources \_SB.COM1' \
  '\[Integer\] = 0000000000000017' 'D0005000' '03F8'
evaluate all 'execute \_SB.PWRB._STA;execute \_SB.GED0.TWIC 6 3;execute \_SB.GED0._EVT 0x14;resources \_SB.PCI0' \
  '\[Integer\] = 000000000000000F' '\[Integer\] = 0000000000000006' 'Notify on \[PWRB\].*Value 0x80' '000000FFFFFFFFFF'

evaluate pci 'execute \_SB.PCI0._HID;resources \_SB.PCI0;resources \_SB.ECAM' \
  '\[Integer\] = 00000000030AD041' 'D0003FFF' 'C03F' 'FEB00000' '00100000'
evaluate bare-pci 'execute \_SB.PCI0._BBN;resources \_SB.PCI0' '\[Integer\] = 0000000000000000'

# The check itself can fail: one changed byte is a wrong checksum, one lost byte a wrong length.
printf '\001' | dd of="$work/tables/small-FACP.dat" bs=1 seek=50 conv=notrunc 2>/dev/null
read_table "$work/tables/small-FACP.dat" && fail "a wrong checksum goes unnoticed"
head -c 300 "$work/tables/xv2-DSDT.dat" >"$work/tables/cut-DSDT.dat"
read_table "$work/tables/cut-DSDT.dat" && fail "a cut DSDT goes unnoticed"

echo "acpi_iasl_test: $count tables and their RSDPs read without complaint"
