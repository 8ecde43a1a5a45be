#!/bin/bash
# Make a wheelhouse: lustre-events and all that it needs, to be installed without internet.
#
#   wheelhouse.sh FOLDER        on a machine with internet, of the kind of the nodes (same Python 3.x, same architecture)
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd); project=$(dirname "$(dirname "$here")")
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -I -m venv "$work/venv"
for part in pyproject.toml setup.py README.md LICENSE lustre_events workers extractors deploy; do cp -r "$project/$part" "$work/"; done
cd "$work"
rm -f "$out"/lustre_events-*.whl
"$work/venv/bin/pip" wheel -q --disable-pip-version-check --constraint "$project/deploy/constraints.txt" \
  --wheel-dir "$out" ".[dashboard,kafka,nats,postgresql,web]"
# The nodes' Python may be another patch of this one, which needs packages that this one does not.
others() { "$work/venv/bin/python" -I "$here/other_patches.py" "$out"/*.whl; }
more=$(others)
while [ -n "$more" ]; do
  mapfile -t more <<<"$more"
  "$work/venv/bin/pip" wheel -q --disable-pip-version-check --constraint "$project/deploy/constraints.txt" \
    --wheel-dir "$out" "${more[@]}"
  more=$(others)
done
# What is installed is what was made here: install.sh compares. Who copies the wheels another way than this sum can tell.
(cd "$out" && sha256sum -- *.whl >SHA256SUMS)
echo "$out: $(ls "$out" | wc -l) files, $(du -sh "$out" | cut -f1); sum of SHA256SUMS: $(sha256sum <"$out/SHA256SUMS" | cut -d' ' -f1)"
