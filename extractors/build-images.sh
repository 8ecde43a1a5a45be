#!/bin/bash
# Build the extractors' images without a registry, from Debian packages alone.
#
#   build-images.sh [OUT_DIR]     default: images/ beside the folder of this script
#
# Makes OUT_DIR/base.sif (Debian bookworm, python3, h5py; about 70 MB, half a minute). An image whose inputs have not
# changed is left alone. Needs root, mmdebstrap and apptainer; packages come from the mirror in this machine's apt
# sources.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../images}
packages=python3-minimal,python3-h5py-serial
die() { echo "$*" >&2; exit 1; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
inputs=$( { cat "$here/build-images.sh" "$here/base/extractor_batch.py"; uname -m; } | sha256sum | cut -d' ' -f1)
if [ -f "$out/base.sif" ] && [ "$(cat "$out/base.sif.inputs" 2>/dev/null)" = "$inputs" ]; then
  echo "$out/base.sif is up to date"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "building base.sif needs root; as root run: $0 $out"
for tool in mmdebstrap apptainer mksquashfs; do
  command -v "$tool" >/dev/null || die "$tool is not installed; on Debian 12 run deploy/setup-apptainer.sh first"
done
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
[ -n "$mirror" ] ||
  mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
[ -n "$mirror" ] || die "no Debian mirror found in this machine's apt sources"

work=$(mktemp -d)
trap 'rm -rf "$work" "$out/.base.sif.new"' EXIT
echo "building $out/base.sif: Debian bookworm with $packages (about half a minute)"
# variant essential: a Debian without apt; documentation is left out
mmdebstrap --quiet --mode=root --variant=essential --include="$packages" \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/*' \
  --customize-hook="install -m 644 '$here/base/extractor_batch.py' \"\$1\"/usr/lib/python3/dist-packages/" \
  bookworm "$work/base" "$mirror"
apptainer --quiet build --force --mksquashfs-args "-comp zstd -Xcompression-level 3" "$out/.base.sif.new" "$work/base"
chmod 644 "$out/.base.sif.new"
mv "$out/.base.sif.new" "$out/base.sif"
echo "$inputs" > "$out/base.sif.inputs"
echo "built $out/base.sif, $(du -h "$out/base.sif" | cut -f1)"
