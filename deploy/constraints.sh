#!/bin/bash
# Renew constraints.txt: the newest versions that pyproject.toml allows, of everything that its extras need; and
# wheelhouse.txt: those that a node needs, with the SHA-256 of every file of these versions.
#
#   deploy/constraints.sh        then run the tests, and commit the files
#
# bootstrap.sh (demo, tests, CI) installs the versions of the one; package/wheelhouse.sh takes nothing that is not in the
# other.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -I -m venv "$work/venv"
for part in pyproject.toml setup.py README.md LICENSE lustre_events workers extractors; do cp -r "$project/$part" "$work/"; done
extras=$(sed -n '/^\[project.optional-dependencies\]/,/^\[/s/^\([a-z-]*\) = .*/\1/p' "$project/pyproject.toml" | paste -sd,)
"$work/venv/bin/pip" install -q --disable-pip-version-check "$work[$extras]"
# And what other patches of this Python need besides.
others() { "$work/venv/bin/python" -I "$project/deploy/package/other_patches.py" "$work"/venv/lib/python3*/site-packages; }
more=$(others)
while [ -n "$more" ]; do
  mapfile -t more <<<"$more"
  "$work/venv/bin/pip" install -q --disable-pip-version-check "${more[@]}"
  more=$(others)
done
{
  echo "# Versions that demo, tests, CI and the wheelhouse install. Made by deploy/constraints.sh."
  "$work/venv/bin/pip" freeze --all --disable-pip-version-check --exclude lustre-events --exclude pip |
    LC_ALL=C sort -f
} >"$work/constraints.txt"
cp "$work/constraints.txt" "$project/deploy/constraints.txt"
echo "deploy/constraints.txt: $(grep -c == "$project/deploy/constraints.txt") versions"
"$work/venv/bin/pip" install -q --disable-pip-version-check uv
{
  echo "# What wheelhouse.sh takes from PyPI: all files of these versions. Made by deploy/constraints.sh."
  # The first patch of this Python needs most; setuptools builds.
  "$work/venv/bin/uv" pip compile -q --no-annotate --no-header --generate-hashes \
    --python-version "$("$work/venv/bin/python" -I -c 'import sys; print("%d.%d.0" % sys.version_info[:2])')" \
    --constraint "$work/constraints.txt" "$project/pyproject.toml" - \
    --extra dashboard --extra kafka --extra nats --extra postgresql --extra web <<<setuptools
} >"$work/wheelhouse.txt"
cp "$work/wheelhouse.txt" "$project/deploy/wheelhouse.txt"
