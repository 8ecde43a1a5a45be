#!/bin/bash
# Install lustre-events on a node from a wheelhouse, without internet; running it again upgrades and changes nothing else.
#
#   install.sh [--root DIR] WHEELHOUSE ROLE...      roles: those of the file `roles` beside this one that have units
#
# Makes a venv in /opt/lustre-events/VERSION, the link /usr/bin/lustre-events to it, accounts, folders, the units of the
# roles, and /etc/lustre-events/ROLE.toml where there is none. It starts nothing: see README.md. With --root everything
# goes below DIR, and accounts and systemd are left alone (for building images of nodes, and for tests).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
units_of() { sed -n "s/^$1 //p" "$here/roles"; }  # units_of ROLE
usage() { echo "usage: $0 [--root DIR] WHEELHOUSE ROLE...   roles:" $(sed -n "s/ .*//p" "$here/roles") >&2; exit 2; }
root=""
if [ "${1:-}" = --root ]; then [ $# -ge 2 ] || usage; root=${2%/}; shift 2; fi
[ $# -ge 2 ] || usage
wheels=$(cd "$1" 2>/dev/null && pwd) || { echo "$1: no such folder; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
shift
for role in "$@"; do [[ $role =~ ^[a-z]+$ && -n $(units_of "$role") ]] || usage; done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || { echo "installing needs root; or name a folder with --root" >&2; exit 1; }
wheel=$(ls "$wheels"/lustre_events-*.whl 2>/dev/null | sort -V | tail -1)
[ -n "$wheel" ] || { echo "$wheels: no wheel of lustre-events in it; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
version=$(basename "$wheel" | cut -d- -f2)
python=""
for each in python3 python3.13 python3.12 python3.11; do
  if "$each" -I -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$each; break; fi
done
[ -n "$python" ] || { echo "Python 3.11 or later is needed (dnf install python3.11)" >&2; exit 1; }

target=/opt/lustre-events/$version
if [ -x "$root$target/bin/lustre-events" ] && cmp -s "$wheel" "$root$target/installed.whl"; then
  echo "$target is installed already"
else
  mkdir -p "$root/opt/lustre-events"
  "$python" -I -m venv "$root$target"
  "$root$target/bin/pip" install -q --disable-pip-version-check --no-index --find-links "$wheels" --force-reinstall \
    "$wheel[dashboard,postgresql,web]"
  cp "$wheel" "$root$target/installed.whl"
  echo "installed $target"
fi
mkdir -p "$root/usr/bin" "$root/etc/lustre-events" "$root/usr/lib/systemd/system" "$root/usr/lib/sysusers.d" \
  "$root/usr/lib/tmpfiles.d" "$root/usr/share/lustre-events"
ln -sfn "$target/bin/lustre-events" "$root/usr/bin/lustre-events"
cp -r "$here" "$root/usr/share/lustre-events/"
# The extractors that are shipped, and the script that builds their images, under a path that outlives versions.
within=$(cd "$root$target" && ls -d lib/python3*/site-packages/lustre_events/extractors)
rm -rf "$root/usr/share/lustre-events/extractors"
ln -s "$target/$within" "$root/usr/share/lustre-events/extractors"
install -m 644 "$here/systemd/lustre-events.sysusers" "$root/usr/lib/sysusers.d/lustre-events.conf"
install -m 644 "$here/systemd/lustre-events.tmpfiles" "$root/usr/lib/tmpfiles.d/lustre-events.conf"
install -m 644 "$here/systemd/lustre-events.target" "$root/usr/lib/systemd/system/"
for role in "$@"; do
  for unit in $(units_of "$role"); do install -m 644 "$here/systemd/$unit" "$root/usr/lib/systemd/system/"; done
  if [ -e "$root/etc/lustre-events/$role.toml" ]; then
    echo "/etc/lustre-events/$role.toml stays as it is"
  else
    "$root$target/bin/lustre-events" config example >"$root/etc/lustre-events/$role.toml"
    echo "made /etc/lustre-events/$role.toml: go through it"
  fi
done
if [ -z "$root" ] && command -v systemctl >/dev/null; then
  systemd-sysusers
  systemd-tmpfiles --create lustre-events.conf
  systemctl daemon-reload || echo "systemd does not run here; run: systemctl daemon-reload"
fi
echo "next: lustre-events doctor --config /etc/lustre-events/$1.toml; then see README.md"
