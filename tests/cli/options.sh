#!/usr/bin/env bash
# usage: options.sh help|errors|write_config|precedence|new_device XV2_VMM XV2_VMM_WITH_DOORBELL
# The command line and the machine file of xv2_vmm. Nothing here starts a guest.

set -euo pipefail
part=$1 xv2=$2 with_doorbell=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

failed=0
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  failed=1
}
# has FILE TEXT...: every text stands in the file
has() {
  local file=$1 text
  shift
  for text; do
    grep -qF -e "$text" "$file" || fail "no '$text' in $file:"$'\n'"$(<"$file")"
  done
}
lacks() { ! grep -qF -e "$2" "$1" || fail "'$2' stands in $1"; }
# runs STATUS COMMAND...: exit status, with output in out and err
runs() {
  local wanted=$1 status=0
  shift
  timeout 20 "$@" >out 2>err || status=$?
  [[ $status == "$wanted" ]] || fail "$*: status $status, not $wanted: $(<err)"
}
# is KEY VALUE: the machine file in out gives the key (of a table: table.key) this value
is() {
  local value
  value=$(awk -v want="$1" '/^\[/ { table = substr($0, 2, length($0) - 2) "." }
    / = / && !/^#/ { if (table $1 == want) { sub(/^[^=]*= /, ""); print } }' out)
  [[ $value == "$2" ]] || fail "$1 is $value, not $2"
}

case $part in
  help)
    runs 0 "$xv2" --help
    has out --kernel --initrd --cmdline --append '--disk PATH[,ro]' '--pci-disk PATH[,ro]' '--net tap=NAME[,mac=ADDRESS]' '--memory SIZE' '--vcpus N' \
      '--host-check strict|warn' --no-reboot -v,--verbose --help --version '--config FILE' --write-config \
      --blk0.path --blk0.read-only --uart0.enabled 'up to blk' \
      'default 512M' 'bytes, or with K, M, G, T' '1 to 20' 'a PCI disk takes pci=off out of the default' \
      'default console=ttyS0 panic=1 pci=off tsc=nowatchdog root=/dev/vda rw' \
      '--blkpci0.path FILE' --blkpci0.read-only --blkpci0.direct '--blkpci0.queues N' 'up to blkpci3'
    lacks out '{false}'
    [[ ! -s err ]] || fail "--help writes to standard error"
    runs 0 "$xv2" --version
    has out 'xv2_vmm '
    ;;
  errors)
    cat >bad.toml <<'END'
memory = "512Q"
vcpus = "4"
memroy = 4
reboot = 1
kick_signal = 65

[blk0]
path = 7
readonly = true

[blk77]
path = "x"

[uart0]
enabled = "yes"
flow_control = 1979-05-27
END
    # Everything at once: the file's bad values with their lines, then the command line's with their flags.
    runs 2 "$xv2" --config bad.toml --host-check wran --vcpus 99 --memroy 4G --frobnicate=3 stray --no-rebot \
      --blk0.path a --disk b,ro --kick-signal x --uart0.enabled=maybe --initrd
    [[ ! -s out ]] || fail "errors write to standard output"
    has err "bad.toml:1: memory: '512Q' is not a size; write for example 512M or 4G" \
      'bad.toml:2: vcpus: expected an integer, found a string' \
      'bad.toml:3: memroy: the machine has no such setting; did you mean memory?' \
      'bad.toml:4: reboot: expected true or false, found an integer' \
      "bad.toml:5: kick_signal: '65' is out of range: 0 to 64" \
      'bad.toml:8: blk0.path: expected a string, found an integer' \
      'bad.toml:9: blk0.readonly: the machine has no such setting; did you mean blk0.read_only?' \
      'bad.toml:11: blk77: the machine has no such table; did you mean blk7?' \
      'bad.toml:15: uart0.enabled: expected true or false, found a string' \
      'bad.toml:16: uart0.flow_control: expected true or false, found a date or time' \
      "--host-check: 'wran' is not strict or warn; did you mean warn?" \
      "--vcpus: '99' is out of range: 1 to 20" \
      '--memroy is no option of this program; did you mean --memory?' \
      '--frobnicate is no option of this program; --help lists them' \
      "'stray' belongs to no option" \
      '--no-rebot is no option of this program; did you mean --no-reboot?' \
      '--disk: is disk 0, to which --blk0.path gives a file, too' \
      "--kick-signal: 'x' is not a whole number" \
      "--uart0.enabled: 'maybe' is not true or false" \
      '--initrd needs a value'
    [[ $(grep -c '^xv2_vmm: error: ' err) == 20 ]] || fail "not 20 errors: $(<err)"
    [[ $(grep -o 'bad.toml:[0-9]*' err | sort -t: -k2n -c 2>&1) == '' ]] || fail "the file's errors are not in its order"

    printf 'vcpus = 1\nmemory = = 2\n' >broken.toml
    runs 2 "$xv2" --config broken.toml --kernel k
    has err 'xv2_vmm: error: broken.toml:2: '
    printf 'vcpus = 1\nvcpus = 2\n' >twice.toml
    runs 2 "$xv2" --config twice.toml --kernel k
    has err 'twice.toml:2: '
    printf 'blk0 = 1\npath = "x"\n' >form.toml
    runs 2 "$xv2" --config form.toml --kernel k
    has err 'form.toml:1: blk0: this is the name of a table' 'form.toml:2: path: ' 'did you mean blk0.path?'
    runs 2 "$xv2" --config missing.toml --kernel k
    has err 'missing.toml: No such file or directory'
    runs 2 "$xv2" --config . --kernel k
    has err 'Is a directory'
    runs 2 "$xv2"
    has err '--kernel is missing'
    runs 2 "$xv2" --memory 512 --kernel k
    has err "--memory: '512' is out of range: 1M or more" 'a bare number counts bytes'
    disks=()
    for i in {0..30}; do disks+=(--disk "d$i"); done
    runs 2 "$xv2" "${disks[@]}" --kernel k
    has err '--disk: 31 disks given, the machine takes at most '
    runs 2 "$xv2" --disk ,ro --kernel k
    has err '--disk: needs a path'
    runs 2 "$xv2" --pci-disk a --pci-disk b,ro --pci-disk c --pci-disk d --pci-disk e --kernel k
    has err '--pci-disk: 5 PCI disks given, the machine takes at most 4'
    runs 2 "$xv2" --pci-disk a --pci-disk ,ro --pci-disk= --kernel k --blkpci0.path x --blkpci1.queues 5
    has err '--pci-disk: needs a path' '--pci-disk: is PCI disk 0, to which --blkpci0.path gives a file, too' \
      "--blkpci1.queues: '5' is out of range: 1 to 4"
    [[ $(grep -c '^xv2_vmm: error: ' err) == 4 ]] || fail "not 4 errors: $(<err)"
    runs 2 "$xv2" --net tap=a --net tap=b --net tap=c --kernel k
    has err '--net: 3 interfaces given, the machine takes at most 2'
    runs 2 "$xv2" --net tap0 --net mac=52:54:00:12:34:56 --kernel k
    has err '--net: does not know tap0' '--net: needs a TAP; write tap=NAME or tap=NAME,mac=ADDRESS'
    runs 2 "$xv2" --net tap=,mtu=9 --net tap=a-name-of-sixteen --net0.tap b --kernel k
    has err '--net: does not know tap=' '--net: does not know mtu=9' '--net: is interface 0, to which --net0.tap gives a TAP, too' \
      '--net: the text has 17 bytes, at most 15 are possible'
    runs 2 "$xv2" --kernel "$(printf 'x%.0s' {1..2000})"
    has err '--kernel: the text has 2000 bytes, at most 1023 are possible'
    # What is wrong with files is said of all of them, too.
    runs 1 "$xv2" --kernel no-kernel --disk no-disk --disk no-other-disk --host-check warn
    has err no-kernel
    [[ ! -w /dev/kvm ]] || has err no-disk no-other-disk

    # A guest that is told to look for no PCI bus does not find a disk there.
    hides="^xv2_vmm: warning: pci=off on the kernel's command line hides blkpci1 from the guest; leave it out of --cmdline and --append\$"
    for words in --cmdline='console=ttyS0 pci=off' --append=pci=nocrs,off; do
      runs 1 "$xv2" --kernel no-kernel --blkpci1.path no-disk "$words" --host-check warn
      grep -q "$hides" err || fail "$words: no warning: $(<err)"
    done
    for words in --kernel=no-kernel --cmdline='panic=1 xpci=off pci=offb' --append=pci=nocrs; do
      runs 1 "$xv2" --kernel no-kernel --blkpci1.path no-disk "$words" --host-check warn
      lacks err pci=off
    done
    runs 1 "$xv2" --kernel no-kernel --disk no-disk --append pci=off --host-check warn
    lacks err pci=off

    # The whole kernel command line: its parts may be good and the sum too long. Reported with everything else.
    long=$(printf 'x%.0s' {1..4000})
    runs 2 "$xv2" --kernel k --cmdline "$long" --append "$long" --vcpus 0
    has err "--vcpus: '0' is out of range: 1 to 20" \
      'kernel command line: 8001 bytes, at most 4095 are possible; shorten the appended text'
    printf 'append = "a\\u0000b"\n' >zero.toml
    runs 2 "$xv2" --config zero.toml --kernel k --vcpus 0
    has err 'zero.toml:1: append: the text holds a zero byte' "--vcpus: '0' is out of range: 1 to 20"
    ;;
  write_config)
    runs 0 "$xv2" --write-config
    has out '# guest memory (bytes, or with K, M, G, T; default 512M' '[blk0]' '[uart0]'
    is memory '"512M"'
    is vcpus 1
    is host_check '"strict"'
    is blk0.path '""'
    mv out defaults.toml
    runs 0 "$xv2" --config defaults.toml --write-config
    cmp out defaults.toml || fail "the defaults changed on their way through a file"

    runs 0 "$xv2" --kernel 'a "b"\c' --initrd i --disk x,ro --disk "$(printf 'tab\there')" --memory 3G --vcpus 4 \
      --no-reboot --append 'x=ü -- y' --cmdline= --kick-signal 40 --host-check=warn --uart0.flow-control=off --write-config \
      --net mac=52:54:00:12:34:56,tap=t0 --net tap=t1
    is kernel '"a \"b\"\\c"'
    is memory '"3G"'
    is vcpus 4
    is reboot false
    is append '"x=ü -- y"'
    is cmdline '""'
    is kick_signal 40
    is host_check '"warn"'
    is uart0.flow_control false
    is blk0.path '"x"'
    is blk0.read_only true
    is blk1.path '"tab\u0009here"'
    is net0.tap '"t0"'
    is net0.mac '"52:54:00:12:34:56"'
    is net1.tap '"t1"'
    is net1.mac '""'
    mv out changed.toml
    runs 0 "$xv2" --config changed.toml --write-config
    cmp out changed.toml || fail "settings changed on their way through a file"

    runs 0 "$xv2" --pci-disk x,ro --disk d --pci-disk y --blkpci1.queues 2 --blkpci1.direct --write-config
    is blkpci0.path '"x"'
    is blkpci0.read_only true
    is blkpci0.queues 4
    is blkpci1.path '"y"'
    is blkpci1.read_only false
    is blkpci1.direct true
    is blkpci1.queues 2
    is blk0.path '"d"'
    # The default command line lets a guest with a PCI disk find it; a user's own stays as it is.
    without='"console=ttyS0 panic=1 tsc=nowatchdog root=/dev/vda rw"'
    is cmdline "$without"
    mv out changed.toml
    runs 0 "$xv2" --config changed.toml --write-config
    cmp out changed.toml || fail "settings changed on their way through a file"
    runs 0 "$xv2" --config defaults.toml --blkpci3.path x --append quiet --write-config
    is cmdline "$without"
    echo 'blkpci2.path = "x"' >pci.toml
    runs 0 "$xv2" --config pci.toml --write-config
    is cmdline "$without"
    runs 0 "$xv2" --pci-disk x --cmdline 'pci=off' --write-config
    is cmdline '"pci=off"'
    runs 0 "$xv2" --disk x --blkpci0.read-only --write-config
    is cmdline '"console=ttyS0 panic=1 pci=off tsc=nowatchdog root=/dev/vda rw"'
    ;;
  precedence)
    cat >machine.toml <<'END'
memory = 1073741824 # an integer counts bytes
vcpus = 3
append = "from file"
blk0.path = "file.img"
blk0.read_only = true
END
    runs 0 "$xv2" --config machine.toml --write-config
    is memory '"1G"'
    is vcpus 3
    is blk0.path '"file.img"'
    is blk0.read_only true
    runs 0 "$xv2" --vcpus 5 --config machine.toml --append=flag --no-blk0.read-only -m 2G -d other.img --write-config
    is memory '"2G"'
    is vcpus 5
    is append '"flag"'
    is blk0.path '"other.img"'
    is blk0.read_only false
    runs 0 "$xv2" --config machine.toml --disk new.img --disk second.img,ro --write-config
    is blk0.path '"new.img"'
    is blk0.read_only false
    is blk1.path '"second.img"'
    is blk1.read_only true
    runs 0 "$xv2" --disk new.img --blk0.read-only --vcpus 2 --vcpus 6 --write-config
    is blk0.read_only true
    is vcpus 6
    # A good value on the command line does not hide a bad one in the file.
    printf 'vcpus = 0\n' >zero.toml
    runs 2 "$xv2" --config zero.toml --vcpus 2 --write-config
    has err "zero.toml:1: vcpus: '0' is out of range: 1 to 20"
    : >empty.toml
    runs 0 "$xv2" --config empty.toml --write-config
    is vcpus 1
    ;;
  new_device)
    runs 0 "$xv2" --help
    lacks out doorbell
    runs 0 "$with_doorbell" --help
    has out doorbell0: '-b,--doorbell0.volume N' 'how loud (dB; default 5; -10 to 10)' '--doorbell0.tone ding|dong|buzz' \
      '--doorbell0.buffer SIZE' 'default 64K; 4K or more' '--doorbell0.notes N,N,N' '--doorbell0.echo.delay N'
    runs 0 "$with_doorbell" --write-config
    is doorbell0.volume 5
    is doorbell0.tone '"dong"'
    is doorbell0.buffer '"64K"'
    is doorbell0.serial '"18446744073709551615"'
    is doorbell0.label '"front \"door\""'
    is doorbell0.notes '[60, -1, 67]'
    is doorbell0.echo.delay 20
    runs 0 "$with_doorbell" -b -3 --doorbell0.tone buzz --doorbell0.buffer 1M --doorbell0.serial 7 --doorbell0.label= \
      --doorbell0.notes 1,2,-3 --doorbell0.echo.enabled --write-config
    is doorbell0.volume -3
    is doorbell0.tone '"buzz"'
    is doorbell0.buffer '"1M"'
    is doorbell0.serial 7
    is doorbell0.label '""'
    is doorbell0.notes '[1, 2, -3]'
    is doorbell0.echo.enabled true
    mv out doorbell.toml
    runs 0 "$with_doorbell" --config doorbell.toml --write-config
    cmp out doorbell.toml || fail "settings changed on their way through a file"
    cat >bad.toml <<'END'
[doorbell0]
volume = 11
tone = "dnig"
notes = [1, 2]
label = "a text that is far too long for a doorbell's label"
buffer = 4097.5
serial = 1
[doorbell0.echo]
delay = -1
END
    runs 2 "$with_doorbell" --config bad.toml --write-config
    has err "bad.toml:2: doorbell0.volume: '11' is out of range: -10 to 10" \
      "bad.toml:3: doorbell0.tone: 'dnig' is not ding, dong or buzz; did you mean ding?" \
      'bad.toml:4: doorbell0.notes: has 2 values, not 3' \
      'bad.toml:5: doorbell0.label: the text has 50 bytes, at most 40 are possible' \
      'bad.toml:6: doorbell0.buffer: expected a size' \
      "bad.toml:9: doorbell0.echo.delay: '-1' is out of range: 0 to 4294967295"
    ;;
esac
exit "$failed"
