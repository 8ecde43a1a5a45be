#!/bin/bash
# Run tests on the Python of Debian 13 (3.13), with its Redis and PostgreSQL. Needs root and mmdebstrap.
#
#   tests/newer-python.sh [PYTEST ARGUMENT...]     default: tests/unit tests/contract
#
# The tree of Debian 13 is made once (2 minutes, 1.5 GB) in LUSTRE_EVENTS_TREE, by default
# ~/.cache/lustre-events/debian13; remove it to have it made anew. Packages come from the mirror in this machine's apt
# sources, wheels from where this machine's pip looks, in the versions of deploy/constraints.txt.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
tree=${LUSTRE_EVENTS_TREE:-${XDG_CACHE_HOME:-$HOME/.cache}/lustre-events/debian13}
python=${VENV:-$project/.venv}/bin/python
release=trixie minor=13
say() { echo "[python 3.$minor] $*" >&2; }
die() { say "$*"; exit 1; }
[ "$(id -u)" = 0 ] || die "a tree of Debian is made and entered as root; run this as root"
command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed; apt-get install mmdebstrap"
[ $# -gt 0 ] || set -- tests/unit tests/contract

if ! [ -d "$tree" ]; then
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
  [ -n "$mirror" ] ||
    mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
  [ -n "$mirror" ] || die "no Debian mirror found in this machine's apt sources"
  say "making $tree"
  mkdir -p "$(dirname "$tree")"
  rm -rf "$tree.new"
  mmdebstrap --quiet --mode=root --variant=apt --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --include=python3,python3-venv,redis-server,postgresql,gcc,libc6-dev,acl,attr,file,git,procps,rpm \
    "$release" "$tree.new" "$mirror"
  chroot "$tree.new" useradd --no-create-home --shell /usr/sbin/nologin le-test
  mv "$tree.new" "$tree"
fi

sum=$(cat "$project/pyproject.toml" "$project/deploy/constraints.txt" | sha256sum)
if [ "$(cat "$tree/.installed" 2>/dev/null)" != "$sum" ]; then
  say "installing wheels"
  rm -rf "$tree/venv" "$tree/wheels"
  platforms=()
  for glibc in $(seq 17 41); do platforms+=(--platform "manylinux_2_${glibc}_$(uname -m)"); done
  "$python" -P -m pip download -q --disable-pip-version-check --no-deps --dest "$tree/wheels" --python-version "3.$minor" \
    --implementation cp "${platforms[@]}" --platform "manylinux2014_$(uname -m)" -r "$project/deploy/constraints.txt"
  chroot "$tree" python3 -I -m venv /venv
  pip=(chroot "$tree" /venv/bin/pip install -q --no-index --find-links /wheels --no-deps --no-build-isolation)
  "${pip[@]}" setuptools
  cp "$project/deploy/constraints.txt" "$tree/wheels/"
  "${pip[@]}" -r /wheels/constraints.txt
  echo "$sum" >"$tree/.installed"
fi

mkdir -p "$tree/repository"
# Mounts of a namespace of our own: they end with it.
exec unshare --mount --propagation private bash -euc '
  tree=$1 project=$2; shift 2
  for each in proc dev sys; do mount --rbind "/$each" "$tree/$each"; done
  mount -t tmpfs tmpfs "$tree/tmp"
  mount --bind "$project" "$tree/repository"
  exec env -i PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 LUSTRE_EVENTS_QUICK=1 \
    chroot "$tree" bash -euc "
      cd /repository
      pip install -q --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
      exec python -P -m pytest -p no:cacheprovider \"\$@\"" pytest "$@"
' newer "$tree" "$project" "$@"
