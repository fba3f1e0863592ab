#!/bin/bash
# tiny_guests.sh PROGRAM: the tests of tests/kvm on a KVM that can boot Linux, which this machine's own may not be.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# Status 77 says that one of them could not run there, which is not the whole of this test.
status=0
again "$here/with-kvm" --timeout $patience -- "$1" --no-intro </dev/null || status=$?
((status == 77)) || exit "$status"
