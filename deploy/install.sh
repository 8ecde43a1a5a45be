#!/bin/bash
# Install the program lustre-events on a node from a wheelhouse, without internet; running it again upgrades it.
#
#   install.sh [--root DIR] WHEELHOUSE
#   install.sh [--root DIR] --remove               the program; `lustre-events setup --remove` before it
#
# Makes a venv in /opt/lustre-events/VERSION, the link /usr/bin/lustre-events to it, and /usr/share/lustre-events. What a
# node needs besides for its roles is made by `lustre-events setup`: see README.md. With --root everything goes below DIR
# (for building images of nodes, for packages, and for tests).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { echo "usage: $0 [--root DIR] WHEELHOUSE | --remove" >&2; exit 2; }
root=""
if [ "${1:-}" = --root ]; then [ $# -ge 2 ] || usage; root=${2%/}; shift 2; fi
[ $# -eq 1 ] || usage
[ -n "$root" ] || [ "$(id -u)" = 0 ] || { echo "installing needs root; or name a folder with --root" >&2; exit 1; }
if [ "$1" = --remove ]; then
  if ls "$root"/etc/systemd/system/lustre-events* >/dev/null 2>&1; then
    echo "this node is still set up; first run: lustre-events setup --remove" >&2
    exit 1
  fi
  rm -rf "$root/opt/lustre-events" "$root/usr/share/lustre-events" "$root/usr/bin/lustre-events"
  echo "removed the program"
  exit 0
fi
wheels=$(cd "$1" 2>/dev/null && pwd) || { echo "$1: no such folder; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
wheel=$(ls "$wheels"/lustre_events-*.whl 2>/dev/null | sort -V | tail -1)
[ -n "$wheel" ] || { echo "$wheels: no wheel of lustre-events in it; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
if [ -f "$wheels/SHA256SUMS" ]; then
  listed=$(sed 's/^[^ ]* [ *]//' "$wheels/SHA256SUMS" | sort)
  # All that lies there: pip would build what is no wheel, and run what that says.
  if [ "$listed" != "$(cd "$wheels" && ls -A | grep -vx SHA256SUMS | sort)" ] ||
     ! (cd "$wheels" && sha256sum --check --strict --quiet SHA256SUMS >&2); then
    echo "$wheels is not as wheelhouse.sh made it (SHA256SUMS): copy it again" >&2
    exit 1
  fi
else
  echo "$wheels has no SHA256SUMS, so its wheels are installed as they are; make it anew with deploy/package/wheelhouse.sh" >&2
fi
version=$(basename "$wheel" | cut -d- -f2)
# The Python that the compiled wheels are for, of those that are here: cp311 stands for every 3.11.x.
made_for=$(ls "$wheels" | sed -n 's/.*-cp\(3[0-9]*\)-cp3[0-9]*-.*/\1/p' | sort | uniq -c | sort -rn | awk 'NR==1 {print $2}')
python=""
for each in python3 python3.14 python3.13 python3.12 python3.11; do
  found=$("$each" -I -c 'import sys, venv; print("%d%d" % sys.version_info[:2] if sys.version_info >= (3, 11) else "")' 2>/dev/null) || continue
  if [ -n "$found" ] && [ "$found" = "${made_for:-$found}" ]; then python=$each; break; fi
done
if [ -z "$python" ]; then
  need=${made_for:-311}
  echo "$wheels is for Python 3.${need#3}, which is not on this node: install it, or make the wheelhouse with a Python of this node" >&2
  exit 1
fi

target=/opt/lustre-events/$version
if [ -x "$root$target/bin/lustre-events" ] && cmp -s "$wheel" "$root$target/installed.whl"; then
  echo "$target is installed already"
else
  mkdir -p "$root/opt/lustre-events"
  [ -d "$root$target" ] && made="" || made=$root$target
  # No half an installation: what was begun here and cannot be finished goes away again.
  trap '[ -z "$made" ] || rm -rf "$made"' EXIT
  "$python" -I -m venv "$root$target"
  "$root$target/bin/pip" install -q --disable-pip-version-check --no-index --only-binary :all: \
    --find-links "$wheels" --force-reinstall \
    "$wheel[dashboard,kafka,nats,postgresql,web]" || {
      echo "$wheels does not have all that $("$python" -V) needs here; make it on a node of this kind, with this Python" >&2
      exit 1
    }
  cp "$wheel" "$root$target/installed.whl"
  made=""
  echo "installed $target"
fi
mkdir -p "$root/usr/bin" "$root/usr/share/lustre-events"
ln -sfn "$target/bin/lustre-events" "$root/usr/bin/lustre-events"
rm -rf "$root/usr/share/lustre-events/deploy"
cp -r "$here" "$root/usr/share/lustre-events/deploy"
# The extractors that are shipped, and the script that builds their images, under a path that outlives versions.
within=$(cd "$root$target" && ls -d lib/python3*/site-packages/lustre_events/extractors)
rm -rf "$root/usr/share/lustre-events/extractors"
ln -s "$target/$within" "$root/usr/share/lustre-events/extractors"
echo "next: lustre-events setup ROLE...; see /usr/share/lustre-events/deploy/README.md"
