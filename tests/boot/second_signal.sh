#!/bin/bash
# second_signal.sh: the first SIGTERM asks the guest, the second one does not; see second_signal.py. It runs beside the
# monitor, for with-kvm has its own notion of a second signal.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
files=$(fetch_kernel cloud)
kernel=${files%%$'\n'*} modules=${files##*$'\n'}
initrd=$(make_initrd "$lab/guest.cpio" "$here/guest-init" "$modules" virtio_mmio virtio_blk ext4 button evdev)
"$here/with-kvm" --timeout 300 -- python3 -B "$(dirname -- "${BASH_SOURCE[0]}")/second_signal.py" \
  "$XV2_VMM" --host-check=warn --kernel "$kernel" --initrd "$initrd" --append 'quiet loglevel=0 cryptomgr.notests' </dev/null
