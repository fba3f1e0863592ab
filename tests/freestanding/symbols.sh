#!/bin/sh
# symbols.sh NM OBJECT...: together the objects leave no symbol undefined but the four that a compiler needs anywhere.
nm=$1
shift
"$nm" -A "$@" | awk '
  { name = $NF; kind = $(NF - 1) }
  kind == "U" { wanted[name] = wanted[name] " " $1; next }
  { defined[name] = 1 }
  END {
    for (name in wanted)
      if (!(name in defined) && name !~ /^mem(cpy|move|set|cmp)$/) { print name " is needed by" wanted[name]; bad = 1 }
    exit bad
  }'
