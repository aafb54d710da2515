#!/usr/bin/env bash
# Says, before a build from nothing, what will happen, how long it takes and what room it needs.
set -euo pipefail
target=${CARGO_TARGET_DIR:-target}
free_gib=$(df -Pk "$(dirname "$target")" 2>/dev/null | awk 'NR==2 {print int($4 / 1048576)}')
if [ ! -e "$target/debug/hangang" ]; then
  cat <<X2
Building Hangang with everything it stands on (DataFusion, Delta, Kafka's client, LightGBM).
  time    about 20 minutes on 2 idle cores the first time, twice that on busy ones; a minute or two after a change
  disk    about 6 GiB in $target (${free_gib:-?} GiB are free)
  memory  4 GiB
X2
fi
