#!/usr/bin/env bash
# Gets what the tests need besides the build: readers that share no code with this project, as Python wheels in the
# cache. Says nothing when they are there.
set -euo pipefail
CACHE=${HANGANG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hangang}
READERS=$CACHE/readers
WANTED='deltalake==1.6.6 polars==2.1.0 psycopg[binary]==3.3.9 confluent-kafka==2.15.0'
if [ "$(cat "$READERS/.wanted" 2>/dev/null)" != "$WANTED" ]; then
  echo "tools: installing the tests' independent readers ($WANTED) into $READERS" >&2
  rm -rf "$READERS"
  # shellcheck disable=SC2086
  python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --target "$READERS" $WANTED >&2
  echo "$WANTED" >"$READERS/.wanted"
fi
