#!/bin/bash
# Make a wheelhouse: lustre-events and all that it needs, to be installed without internet.
#
#   wheelhouse.sh FOLDER        on a machine with internet, of the kind of the nodes (same Python 3.x, same architecture)
#
# Of PyPI only files whose SHA-256 is in ../wheelhouse.txt are taken, also to build with.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd); project=$(dirname "$(dirname "$here")")
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -I -m venv "$work/venv"
for part in pyproject.toml setup.py README.md LICENSE lustre_events workers extractors deploy; do cp -r "$project/$part" "$work/"; done
cd "$work"
rm -f "$out"/*.whl
pinned() { "$work/venv/bin/pip" "$@" -q --disable-pip-version-check --no-deps --require-hashes; }
# setuptools builds, and is not installed on nodes.
awk '/^[^ #]/ {builds = /^setuptools==/} builds' "$project/deploy/wheelhouse.txt" >"$work/builds.txt"
awk '/^[^ #]/ {builds = /^setuptools==/} !builds' "$project/deploy/wheelhouse.txt" >"$work/needs.txt"
pinned install -r "$work/builds.txt"
pinned wheel --no-build-isolation --wheel-dir "$out" -r "$work/needs.txt"
"$work/venv/bin/pip" wheel -q --disable-pip-version-check --no-index --no-deps --no-build-isolation --wheel-dir "$out" .
# What is installed is what was made here: install.sh compares. Who copies the wheels another way than this sum can tell.
(cd "$out" && sha256sum -- *.whl >SHA256SUMS)
echo "$out: $(ls "$out" | wc -l) files, $(du -sh "$out" | cut -f1); sum of SHA256SUMS: $(sha256sum <"$out/SHA256SUMS" | cut -d' ' -f1)"
