#!/bin/bash
# Print a table of the built images: extractors that use them, size as SIF and unpacked, seconds from start to Python,
# and their SHA-256; then what each is made of: Debian's packages with their versions, and wheels with theirs.
#
#   images-report.sh [IMAGES_DIR]     default: images/ beside the folder of this script
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
images=${1:-$here/../images}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "| image | SIF, MB | unpacked, MB | start, s | extractors | SHA-256 |"
echo "|---|---|---|---|---|---|"
for list in "$here"/images/*.txt; do
  name=$(basename "$list" .txt) sif=$images/$(basename "$list" .txt).sif
  [ -f "$sif" ] || { echo "$sif is not there; build it with $here/build-images.sh $images" >&2; exit 1; }
  apptainer sif dump "$(apptainer sif list "$sif" | awk -F'|' '/FS \(Squashfs/ {print $1+0}')" "$sif" >"$work/fs"
  unpacked=$(unsquashfs -lls "$work/fs" | awk '{bytes += $3} END {printf "%.0f", bytes / 1e6}')
  start() { apptainer -q exec --containall --no-home "$sif" python3 -I -c 'import extractor_batch'; }
  start
  began=$(date +%s%N)
  for _ in 1 2 3; do start; done
  seconds=$(awk -v ns=$(($(date +%s%N) - began)) 'BEGIN {printf "%.2f", ns / 3e9}')
  users=$(grep -l "^image = \"$name\"" "$here"/*/manifest.toml | xargs -rn1 dirname | xargs -rn1 basename | paste -sd' ' | sed 's/ /, /g' || true)
  echo "| $name | $(($(stat -c %s "$sif") / 1000000)) | $unpacked | $seconds | $users | $(sha256sum "$sif" | cut -d' ' -f1) |"
done
for list in "$here"/images/*.txt; do
  name=$(basename "$list" .txt)
  inside() { apptainer -q exec --containall --no-home "$images/$name.sif" "$@"; }
  echo
  echo "$name:"
  { inside dpkg-query -W -f '  deb ${Package} ${Version}\n' 2>/dev/null || echo "  Debian's list of packages is not in it"; } | LC_ALL=C sort
  inside python3 -I -c 'import importlib.metadata as m
for line in sorted({f"  pip {d.name} {d.version}" for d in m.distributions()}): print(line)'
done
