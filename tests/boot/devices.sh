#!/bin/bash
# devices.sh GUEST_VSOCK: a stock guest with the modules for them finds the virtio devices beside disks; devices.py, beside the
# monitor, is what they are connected to.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest-devices virtio-rng virtio_console vmw_vsock_virtio_transport virtio_balloon virtio_net

mapfile -t outer < <(fetch_kernel generic)
tun=$(find "${outer[1]}" -name 'tun.ko*' | head -n 1) # for the lab's kernel; another one has it loaded

mkdir "$scratch/content"
cp "$1" "$scratch/content/guest_vsock"
cat >"$scratch/content/run.sh" <<'GUEST'
echo "rng $(cat /sys/class/misc/hw_random/rng_current) $(dd if=/dev/hwrng bs=64 count=16 2>/dev/null | wc -c)"
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | xxd -p >/mnt/first
dd if=/dev/hwrng bs=16 count=1 2>/dev/null | xxd -p >/mnt/second
cmp -s /mnt/first /mnt/second || echo "rng differs"

# A login on hvc0; it ends with the file that says so.
echo 'root::0:0:root:/root:/bin/sh' >/etc/passwd
echo 'root:x:0:' >/etc/group
ln -s busybox /bin/login
getty -L 115200 hvc0 vt100 &

# Sockets, opened from either side and from both at once; nobody is behind port 6001.
./guest_vsock listen 5000 && echo "vsock echoed" &
./guest_vsock connect 6000 3000000 && echo "vsock exchanged"
./guest_vsock connect 6001 2>/dev/null
echo "vsock refused $?"
# The network: the other side is devices.py at 10.9.0.1. What comes back is what went there.
ip address add 10.9.0.2/24 dev eth0
ip link set eth0 up
echo "net $(cat /sys/class/net/eth0/address)"
ping -c 2 -W 5 10.9.0.1 >/dev/null && echo "net ping"
ping -c 2 -W 5 -s 60000 10.9.0.1 >/dev/null && echo "net large ping"
dd if=/dev/urandom of=/tmp/sent bs=64k count=48 2>/dev/null
nc 10.9.0.1 7000 </tmp/sent >/tmp/back
cmp -s /tmp/sent /tmp/back && echo "net same"
rm /tmp/sent /tmp/back

# Memory is used and freed again; devices.py looks at the monitor meanwhile. And 64 MiB are to go into the balloon.
(
  until [ -e /tmp/use ]; do usleep 50000; done
  dd if=/dev/zero of=/tmp/used bs=1M count=160 2>/dev/null
  touch /tmp/in-use
  until [ -e /tmp/free ]; do usleep 50000; done
  rm /tmp/used
) &
tries=0
until [ "$(sed -n 's/^balloon_inflate //p' /proc/vmstat)" -ge 16384 ] || [ $tries -gt 200 ]; do
  usleep 100000
  tries=$((tries + 1))
done
echo "balloon $(sed -n 's/^balloon_inflate //p' /proc/vmstat)"
until [ -e /tmp/over ]; do usleep 50000; done
GUEST
make_image "$scratch/disk.img" 32M "$scratch/content"
output=$(again "$here/with-kvm" --share "$scratch" --timeout $patience -- env "TUN_MODULE=$tun" "$root/tests/boot/devices.py" "$XV2_VMM" \
  --host-check=warn --kernel "$kernel" --initrd "$initrd" --disk "$scratch/disk.img" \
  --save-state "$scratch/state.toml" --append 'quiet loglevel=0 cryptomgr.notests AXVM_RUN=vda AXVM_RAW=1' </dev/null) || {
  printf '%s\n' "$output"
  exit 1
}
[[ $(debugfs -R 'cat /status' "$scratch/disk.img" 2>/dev/null) == 0 ]]
expect "$output" '^rng virtio_rng\.0 1024$'
expect "$output" '^rng differs$'
expect "$output" '^vsock echoed$'
expect "$output" '^vsock exchanged$'
expect "$output" '^vsock refused 2$'
expect "$output" '^balloon 16384$'
expect "$output" '^net 02:00:00:00:00:09$'
expect "$output" '^net ping$'
expect "$output" '^net large ping$'
expect "$output" '^net same$'
for device in rng0 console0 vsock0 balloon0 net0; do
  expect "$(<"$scratch/state.toml")" "^\\[$device(\\.transport)?\\]\$"
done
