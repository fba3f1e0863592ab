# shellcheck shell=bash
# shellcheck disable=SC2034 # its variables are for those who source it
# What the scripts share: the list of Debian packages, and the things they make under build/lab (kernels, initrds).
# To be sourced. Everything made is kept and used again; `rm -rf build/lab` starts afresh.

shopt -s inherit_errexit
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
lab=$root/build/lab
here=$root/tests/lab
export PATH=$PATH:/usr/sbin:/sbin # depmod, mkfs.ext4 and debugfs live there, and not every user has it

# The Debian packages the project needs; this is the only list of them.
packages_build=(g++ cmake ninja-build ccache libboost1.81-dev libcli11-dev libtomlplusplus-dev zlib1g-dev
  liblzma-dev liblz4-dev libzstd-dev doctest-dev python3)
packages_test=(clang-19 libclang-rt-19-dev clang-format-19 clang-tidy-19 acpica-tools librsvg2-bin binutils
  cpuid valgrind)
packages_lab=(qemu-system-x86 busybox-static cpio kmod e2fsprogs xz-utils zstd)

# die [-STATUS] MESSAGE: one line, then the end
die() {
  local status=1
  if [[ $1 =~ ^-[0-9]+$ ]]; then
    status=${1#-}
    shift
  fi
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit "$status"
}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# usage_of FILE: the comment block at the head of a script is its help
usage_of() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$1"; }

# size_mib TEXT: 512M, 2G or a plain number of MiB, as MiB
size_mib() {
  [[ $1 =~ ^([0-9]{1,9})([MmGg]?)$ ]] || return 1
  local n=$((10#${BASH_REMATCH[1]}))
  [[ ${BASH_REMATCH[2]} != [Gg] ]] || n=$((n * 1024))
  ((n > 0)) || return 1
  printf '%d\n' "$n"
}

# ---- locks ---------------------------------------------------------------------------------------------------------

# with_lock NAME COMMAND...: one at a time among all that run from this clone
with_lock() (
  name=$1
  shift
  mkdir -p "$lab"
  exec {fd}>"$lab/.$name.lock"
  flock "$fd"
  "$@" {fd}>&- # what outlives us must not keep the lock
)

# ---- packages ------------------------------------------------------------------------------------------------------

# missing_packages PKG...: those that are not installed, one a line
missing_packages() {
  local package
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ?i* ]] || printf '%s\n' "$package"
  done
}

# as_root COMMAND...: as it is when root, by sudo when there is one
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "root is needed: run this as root, then try again:  $*"
  fi
}

apt_update() { as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2; }

# apt_knows PKG...: whether the package lists on this machine have all of them
apt_knows() {
  local package
  for package; do
    [[ $(apt-cache policy "$package" 2>/dev/null) =~ Candidate:\ [0-9] ]] || return 1
  done
}

# need_packages [--no-install] PKG...: installs what is missing after saying what it is
need_packages() {
  local install=1
  if [[ $1 == --no-install ]]; then
    install=0
    shift
  fi
  command -v dpkg-query >/dev/null || die "this needs Debian 12 (no dpkg here); provide these yourself: $*"
  local -a missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  ((install)) || die "missing Debian packages: ${missing[*]}  (apt-get install --no-install-recommends ${missing[*]})"
  with_lock packages install_packages "${missing[@]}"
}

install_packages() {
  local -a missing
  mapfile -t missing < <(missing_packages "$@") # another script may have been faster
  ((${#missing[@]})) || return 0
  local -a command=(apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends
    "${missing[@]}")
  say "installing Debian packages: ${missing[*]}"
  ((EUID == 0)) || command -v sudo >/dev/null ||
    die "root is needed to install packages: as root, run  apt-get install --no-install-recommends ${missing[*]}"
  apt_knows "${missing[@]}" || apt_update
  DEBIAN_FRONTEND=noninteractive as_root "${command[@]}" >&2 && return 0
  apt_update # the lists may be older than what the mirror still holds
  DEBIAN_FRONTEND=noninteractive as_root "${command[@]}" >&2 ||
    die "apt-get could not install: ${missing[*]}  (its message is above)"
}

# ---- builds --------------------------------------------------------------------------------------------------------

# build_preset PRESET [TARGET...]: configures where that is needed and builds, with ninja's progress on a terminal, else
# silently unless it fails
build_preset() { with_lock "build-$1" configure_and_build "$@"; }

configure_and_build() {
  local preset=$1 log=$lab/build-$1.log
  shift
  # What one clone compiled serves another one, too.
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
    export CCACHE_SLOPPINESS=pch_defines,time_macros # else nothing that has a precompiled header is kept
    export CCACHE_DEPEND=1 # else a precompiled header is found again whose headers had other comments, and g++ refuses them
  fi
  if [[ ! -e $root/build/$preset/build.ninja ]]; then
    say "configuring build/$preset"
    (cd "$root" && cmake --preset "$preset") >"$log" 2>&1 || {
      cat "$log" >&2
      die "could not configure build/$preset (see above)"
    }
  fi
  local -a command=(cmake --build "$root/build/$preset" -j 2 ${1:+--target "$@"})
  if [[ -t 2 ]]; then
    "${command[@]}" >&2 || die "could not build build/$preset (see above)"
  else
    say "building build/$preset${1:+: $*}"
    "${command[@]}" >"$log" 2>&1 || {
      cat "$log" >&2
      die "could not build build/$preset (see above)"
    }
  fi
}

# ---- kernels -------------------------------------------------------------------------------------------------------

# fetch_kernel [cloud|generic]: a stock Debian kernel, unpacked and not installed. Prints two lines: the bzImage, and
# the directory of its modules (with modules.dep). cloud is what guests boot, generic what the lab runs on.
fetch_kernel() {
  local flavour=${1:-cloud} meta
  case $flavour in
    cloud) meta=linux-image-cloud-amd64 ;;
    generic) meta=linux-image-amd64 ;;
    *) die "no such kernel flavour: $flavour (cloud or generic)" ;;
  esac
  local to=$lab/kernel-$flavour
  if [[ ! -e $to/complete ]]; then with_lock "kernel-$flavour" unpack_kernel "$meta" "$to"; fi
  printf '%s\n' "$to"/boot/vmlinuz-* "$to"/lib/modules/*
}

# the package that META depends on: its name carries the version
kernel_package() {
  apt-cache depends --important "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

unpack_kernel() {
  local meta=$1 to=$2 package
  [[ ! -e $to/complete ]] || return 0
  package=$(kernel_package "$meta")
  if [[ -z $package ]]; then
    apt_update
    package=$(kernel_package "$meta")
    [[ -n $package ]] || die "apt knows no $meta: is a Debian 12 source for amd64 configured?"
  fi
  say "fetching $package"
  rm -rf "$to" "$to.part"
  mkdir -p "$to.part"
  download_package "$to.part" "$package"
  dpkg -x "$to.part/$package"_*.deb "$to.part"
  rm "$to.part/$package"_*.deb
  depmod -b "$to.part" "$(basename "$to.part"/lib/modules/*)"
  touch "$to.part/complete"
  mv "$to.part" "$to"
}

download_package() (
  cd "$1" || exit
  # apt's own user may not be able to write here, and it need not
  download=(apt-get -qq -o APT::Sandbox::User=root download "$2")
  "${download[@]}" >&2 && exit 0
  apt_update
  "${download[@]}" >&2 || die "apt-get could not download $2 (its message is above)"
)

# u8/u32 FILE OFFSET: a little-endian number from a file
u8() { od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' '; }
u16() { od -An -tu2 -j "$2" -N 2 "$1" | tr -d ' '; }
u32() { od -An -tu4 -j "$2" -N 4 "$1" | tr -d ' '; }

is_bzimage() { [[ -r $1 && $(dd if="$1" bs=1 skip=514 count=4 2>/dev/null | tr -d '\0') == HdrS ]]; }

# bzimage_release FILE: what `uname -r` will say  ([linux/boot] kernel_version)
bzimage_release() {
  local -i at
  at=$(u16 "$1" $((0x20e)))
  ((at)) || return 1
  dd if="$1" bs=1 skip=$((at + 0x200)) count=128 2>/dev/null | tr '\0' '\n' | head -n 1 | cut -d ' ' -f 1
}

# bzimage_payload FILE TO: the ELF kernel inside a bzImage
# ([linux/boot] payload_offset, payload_length; the last 4 bytes are the unpacked size)
bzimage_payload() {
  local -i sects offset length
  sects=$(u8 "$1" $((0x1f1)))
  offset=$(u32 "$1" $((0x248)))
  length=$(u32 "$1" $((0x24c)))
  offset=$(((sects ? sects : 4) * 512 + 512 + offset))
  dd if="$1" bs=64K iflag=skip_bytes,count_bytes skip=$offset count=$((length - 4)) status=none |
    xz -dc --single-stream >"$2" 2>/dev/null &&
    [[ $(head -c 4 "$2") == $'\x7fELF' ]]
}

# ---- initrds -------------------------------------------------------------------------------------------------------

# module_files DIR NAME...: the files of these modules and of what they need, in the order in which to load them;
# what is built in, or not there, is left out
module_files() {
  local modules=$1 name
  shift
  for name; do
    modprobe -d "${modules%/lib/modules/*}" -S "${modules##*/}" --show-depends "$name" 2>/dev/null || true
  done | awk 'sub(/^insmod +/, "") { sub(/ +$/, ""); if (!seen[$0]++) print }'
}

# make_initrd OUTPUT INIT MODULES_DIR NAME...: busybox, INIT as /init, and the modules, listed in /modules/order in
# loading order. Made again only when one of these changed.
make_initrd() {
  local out=$1 init=$2 modules=$3 key
  key=$( (
    cat "$init" "$here/common.sh" /bin/busybox
    printf '%s\n' "$@"
  ) | sha256sum | cut -d ' ' -f 1)
  if [[ ! -e $out || $(cat "$out.key" 2>/dev/null) != "$key" ]]; then
    with_lock "${out##*/}" pack_initrd "$key" "$@"
  fi
  printf '%s\n' "$out"
}

pack_initrd() {
  local key=$1 out=$2 init=$3 modules=$4 tree file
  shift 4
  [[ $(cat "$out.key" 2>/dev/null) != "$key" ]] || return 0
  tree=$(mktemp -d "$lab/initrd.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf ${tree@Q}" EXIT # of with_lock
  mkdir -p "$tree"/{bin,dev,etc,mnt,modules,proc,root,run,sbin,sys,tmp}
  cp /bin/busybox "$tree/bin/"
  ln -s busybox "$tree/bin/sh"
  install -m 755 "$init" "$tree/init"
  : >"$tree/modules/order"
  if [[ -d $modules ]]; then
    while read -r file; do
      copy_module "$file" "$tree/modules"
    done < <(module_files "$modules" "$@")
  fi
  (cd "$tree" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$out.part"
  rm -f "$out.key"
  mv "$out.part" "$out"
  printf '%s\n' "$key" >"$out.key"
}

copy_module() {
  local file=$1 to=$2 name=${1##*/}
  name=${name%.xz}
  name=${name%.zst}
  case $file in
    *.xz) xz -dc "$file" >"$to/$name" ;;
    *.zst) zstd -qdc "$file" >"$to/$name" ;;
    *) cp "$file" "$to/$name" ;;
  esac
  printf '%s\n' "$name" >>"$to/order"
}
