#!/bin/bash
# second_signal.sh: the first SIGTERM asks the guest, the second one does not; see second_signal.py. It runs beside the
# monitor, for with-kvm has its own notion of a second signal.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
stock_guest guest
again "$here/with-kvm" --timeout $patience -- python3 -B "$(dirname -- "${BASH_SOURCE[0]}")/second_signal.py" \
  "$XV2_VMM" --host-check=warn --kernel "$kernel" --initrd "$initrd" --append 'quiet loglevel=0 cryptomgr.notests' </dev/null
