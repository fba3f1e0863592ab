# shellcheck shell=bash
# What the tests of benches share. To be sourced.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

# measured BENCH [OPTION...]: what a bench prints, into `output`. Now and then the lab stands still, with nothing to do and no
# timer; so a bench that is not done in several times the time that it takes begins once more, and hangs twice if it is
# its own fault. Too late, all of it is told to end, and told again, which ends the lab at once.
measured() {
  local status=0
  output=$(timeout 450 timeout -k 60 420 "$@" </dev/null) || status=$?
  if ((status == 124 || status == 137)); then
    printf 'not done after 420 s, so once more; what it said:\n%s\n' "$output" >&2
    status=0
    output=$(timeout 450 timeout -k 60 420 "$@" </dev/null) || status=$?
  fi
  return "$status"
}

# rows PATTERN: how many rows of a table match
rows() { grep -cE -- "$1" <<<"$output" || true; }
