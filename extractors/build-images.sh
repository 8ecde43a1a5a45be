#!/bin/bash
# Build the extractors' images without a registry of images, from Debian packages and Python wheels.
#
#   build-images.sh [OUT_DIR [NAME...]]     default: images/ beside the folder of this script; all of images/*.txt
#
# images/NAME.txt says what OUT_DIR/NAME.sif has, a line each: `deb PACKAGE`, or `pip NAME==VERSION` (a wheel for the
# Python of Debian bookworm, without its dependencies: they are lines too), `run NAME.py` (a program of images/, run inside
# when all is installed), or `drop GLOB` (below the root, removed at the end). Only wheels whose SHA-256 is in images/wheels.hashes are installed. Every image has base/extractor_batch.py.
# An image whose inputs have not changed is left alone; images/same.inputs lists earlier inputs of which the same image was
# made. Needs root, mmdebstrap and apptainer, and pip for wheels; packages come from the mirror in this machine's apt
# sources and from where this machine's pip looks.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../images}
shift || true
die() { echo "$*" >&2; exit 1; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
names=("$@")
if [ ${#names[@]} = 0 ]; then for list in "$here"/images/*.txt; do names+=("$(basename "$list" .txt)"); done; fi
hashes() {  # the lines of the wheels of an image
  sed -n 's/^pip  *//p' "$here/images/$1.txt" | while read -r wheel; do
    grep -- "^$wheel --hash=" "$here/images/wheels.hashes" ||
      die "images/wheels.hashes has no line for $wheel of the image $1; add it with what pip download and pip hash say"
  done
}
programs() { sed -n "s|^run  *|$here/images/|p" "$here/images/$1.txt"; }
inputs() {
  { cat "$here/build-images.sh" "$here/base/extractor_batch.py" "$here/images/$1.txt" $(programs "$1"); hashes "$1"; uname -m; } |
    sha256sum | cut -d' ' -f1
}
is_stale() {  # of image, the inputs it was built of, those of today
  [ -f "$out/$1.sif" ] && [ -f "$out/$1.sif.inputs" ] || return 0
  local had now; had=$(cat "$out/$1.sif.inputs") now=$(inputs "$1")
  [ "$had" != "$now" ] && ! grep -qx -- "$1 $had $now" "$here/images/same.inputs"
}
stale=()
for name in "${names[@]}"; do
  [ -f "$here/images/$name.txt" ] || die "$here/images/$name.txt is not there; it lists what the image $name has"
  hashes "$name" >/dev/null
  if is_stale "$name"; then stale+=("$name"); else echo "$out/$name.sif is up to date"; fi
done
[ ${#stale[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || die "building ${stale[*]} needs root; as root run: $0 $out ${stale[*]}"
exec 9>"$out/.lock"
flock -w 1500 9 || die "$out: another build-images.sh has been at work for 25 minutes; end it and run this again"
names=("${stale[@]}") stale=()
for name in "${names[@]}"; do if is_stale "$name"; then stale+=("$name"); fi; done  # the other one may have built it
[ ${#stale[@]} -gt 0 ] || exit 0
for tool in mmdebstrap apptainer mksquashfs; do
  command -v "$tool" >/dev/null || die "$tool is not installed; on Debian 12 run deploy/setup-apptainer.sh first"
done
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
[ -n "$mirror" ] ||
  mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
[ -n "$mirror" ] || die "no Debian mirror found in this machine's apt sources"
pip=
for python in "${VENV:-$here/../.venv}/bin/python" python3; do
  if [ -z "$pip" ] && "$python" -I -m pip --version >/dev/null 2>&1; then pip=$python; fi
done
platforms=(--platform "manylinux2014_$(uname -m)" --platform "linux_$(uname -m)")
for minor in $(seq 17 36); do platforms+=(--platform "manylinux_2_${minor}_$(uname -m)"); done  # bookworm has glibc 2.36

work=$(mktemp -d)
trap 'rm -rf "$work" "$out"/.*.sif.new' EXIT
quietly() { "$@" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "building ${name:-the images} failed: $1"; }; }
# variant essential: a Debian without apt; documentation is left out. All images begin with this tree.
quietly mmdebstrap --quiet --mode=root --variant=essential --skip=cleanup/apt \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/tree" "$mirror"

for name in "${stale[@]}"; do
  began=$SECONDS
  list=$here/images/$name.txt root=$work/$name
  debs=$(sed -n 's/^deb  *//p' "$list") wheels=$(sed -n 's/^pip  *//p' "$list")
  echo "building $out/$name.sif: Debian bookworm with" $debs $wheels
  cp -a "$work/tree" "$root"
  mkdir -p "$root/var/cache/apt/archives/partial"
  # apt of this machine installs into the tree
  cat >"$work/apt.conf" <<CONF
Dir "$root";
Dir::Etc::Trusted "/etc/apt/trusted.gpg";
Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d/";
DPkg::Chroot-Directory "$root";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
CONF
  quietly env APT_CONFIG="$work/apt.conf" DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $debs
  if [ -n "$wheels" ]; then
    [ -n "$pip" ] || die "building $name needs pip for $wheels; install python3-pip, or name a venv in VENV"
    target=$root/usr/local/lib/python3.11/dist-packages
    hashes "$name" >"$work/wheels.txt"
    quietly "$pip" -I -m pip install --disable-pip-version-check -q --no-deps --no-compile --only-binary=:all: \
      --python-version 3.11 --implementation cp "${platforms[@]}" --target "$target" --require-hashes -r "$work/wheels.txt"
    rm -rf "$target/bin"
    quietly chroot "$root" python3 -I -m compileall -q -j 0 /usr/local/lib/python3.11/dist-packages
  fi
  install -m 644 "$here/base/extractor_batch.py" "$root/usr/lib/python3/dist-packages/"
  quietly chroot "$root" python3 -I -m compileall -q /usr/lib/python3/dist-packages/extractor_batch.py
  for program in $(programs "$name"); do
    install -m 644 "$program" "$root/program.py"
    quietly chroot "$root" python3 -I /program.py
    rm "$root/program.py"
  done
  (cd "$root" && rm -rf -- $(sed -n 's/^drop  *//p' "$list"))
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/*
  quietly apptainer --quiet build --force --mksquashfs-args "-comp zstd -Xcompression-level 3" "$out/.$name.sif.new" "$root"
  chmod 644 "$out/.$name.sif.new"
  mv "$out/.$name.sif.new" "$out/$name.sif"
  inputs "$name" >"$out/$name.sif.inputs"
  echo "built $out/$name.sif in $((SECONDS - began)) s, $(du -h "$out/$name.sif" | cut -f1), $(du -sh "$root" | cut -f1) unpacked"
  rm -rf "$root"
done
