#!/bin/bash
# processor.sh VCPUS: programs and the kernel in a guest of the Xv2 profile see a Xeon E5-2680 v2 and a machine that is
# sound: one clock, one topology, no register that is not there.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
vcpus=$1
mkdir -p "$scratch/content/lib"
for program in lscpu cpuid; do
  file=$(command -v "$program") || die "$program is missing (tests/run installs it)"
  cp "$file" "$scratch/content/"
  ldd "$file" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | xargs cp -t "$scratch/content/lib"
done
cp "$(readlink -f /lib64/ld-linux-x86-64.so.2)" "$scratch/content/ld.so"
make_image "$scratch/tools.img" 32M "$scratch/content"

output=$(boot --vcpus "$vcpus" --disk "$scratch/tools.img" --run '
  with() { /mnt/ld.so --library-path /mnt/lib "/mnt/$@"; }
  with lscpu
  with cpuid -1 -r
  grep -m 1 ^flags /proc/cpuinfo
  echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
  dmesg')

expect "$output" '^ *Model name: +Intel\(R\) Xeon\(R\) CPU E5-2680 v2 @ 2\.80GHz$'
expect "$output" '^ *Vendor ID: +GenuineIntel$'
expect "$output" '^ *CPU family: +6$'
expect "$output" '^ *Model: +62$'
expect "$output" '^ *Stepping: +4$'
expect "$output" "^ *CPU\\(s\\): +$vcpus\$"
expect "$output" '^ *Socket\(s\): +1$'
expect "$output" "^ *L3( cache)?: +25 MiB"
expect "$output" '^ *Hypervisor vendor: +KVM$'
# Nothing that Ivy Bridge does not have, nothing that is not virtualised.
refuse "$output" '^flags[[:space:]]*: .* (avx2|fma|bmi1|bmi2|movbe|hle|rtm|adx|smap|rdseed|invpcid|avx512f|sha_ni|vmx|svm|sse4a|3dnow|monitor|arch_perfmon|tsc_adjust|umip|la57|clflushopt|clwb|xsavec|xsaves) '
for flag in sse4_2 aes popcnt x2apic tsc_deadline_timer constant_tsc smep erms fsgsbase hypervisor; do
  expect "$output" "^flags[[:space:]]*: .* $flag( |\$)"
done
# The raw leaves: maximum basic leaf 0xd, maximum extended leaf 0x80000008, this signature, no leaf behind these.
expect "$output" '^   0x00000000 0x00: eax=0x0000000d'
expect "$output" '^   0x00000001 0x00: eax=0x000306e4'
expect "$output" '^   0x80000000 0x00: eax=0x80000008'
refuse "$output" '^   0x000000(0e|0f|1[0-9a-f])'
refuse "$output" '^   0x8000(0009|000[a-f]|00[1-9a-f].|0[1-9a-f]..) '

expect "$output" '^clock kvm-clock$'
expect "$output" 'TSC deadline timer available'
refuse "$output" 'unchecked MSR|TSC unstable|unstable due to|[Tt]opology.*(wrong|inconsistent|mismatch|broken)|WARNING:|BUG:|Oops|Firmware Bug|Unhandled|calibrat.*fail|XSAVE consistency'
# Time comes from the hypervisor: nothing is calibrated by the PIT.
refuse "$output" 'using (PIT|HPET|PMTIMER) (reference )?calibration|Fast TSC calibration'
