#!/bin/bash
# Apptainer on a throw-away Debian 12 (bookworm) amd64 machine, as root: for the demo and for CI only.
# Production uses Apptainer's own packages (https://apptainer.org/docs/admin/main/installation.html).
#
#   setup-apptainer.sh [KEEP_DIR]     KEEP_DIR keeps the rebuilt package, so that a second run takes seconds
#
# Does nothing where apptainer is there. Debian 12 has none; the package of Debian's "sid" is refused there for two
# symbols of a newer glibc only, so it is fetched from this machine's own mirror, these two are pointed at their
# older twins (glibc236_retarget.py, which stops at anything else that is newer), and it is installed by apt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
keep=${1:-/var/cache/apptainer-bookworm}
die() { echo "setup-apptainer.sh: $*" >&2; exit 1; }

missing=()
for tool in squashfuse fuse-overlayfs mmdebstrap; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if command -v apptainer >/dev/null && [ ${#missing[@]} = 0 ]; then apptainer --version; exit 0; fi
[ "$(id -u)" = 0 ] || die "needs root; run it as root, or install Apptainer's own packages"
. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] && [ "$(dpkg --print-architecture)" = amd64 ] ||
  die "is for Debian 12 on amd64; here install Apptainer's own packages"

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -rf "$log" "${work:-}"' EXIT
quietly() { "$@" >"$log" 2>&1 || { tail -20 "$log" >&2; die "failed: $1"; }; }

packages=("${missing[@]}")
if ! command -v apptainer >/dev/null; then
  mkdir -p "$keep"
  package=$(find "$keep" -name 'apptainer_*+glibc236_amd64.deb' | sort | tail -1)
  if [ -z "$package" ]; then
    mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    [ -n "$mirror" ] ||
      mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
    [ -n "$mirror" ] || die "no Debian mirror found in this machine's apt sources"
    work=$(mktemp -d)
    chmod 755 "$work"
    mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [arch=amd64 check-valid-until=no signed-by=$keys] $mirror sid main" > "$work/sid.list"
    options=("-oDir::Etc::sourcelist=$work/sid.list" -oDir::Etc::sourceparts=/dev/null
             "-oDir::State::Lists=$work/lists" "-oDir::Cache=$work/cache" -oAcquire::Languages=none
             -oAPT::Sandbox::User=root -oAcquire::Retries=3)
    quietly apt-get "${options[@]}" update
    (cd "$work" && quietly apt-get "${options[@]}" download apptainer)
    dpkg-deb -R "$work"/apptainer_*.deb "$work/tree"
    lib=$work/tree/usr/lib/x86_64-linux-gnu/apptainer
    quietly python3 "$here/glibc236_retarget.py" \
      "$work/tree/usr/bin/apptainer" "$lib/bin/starter" "$lib/lib/offsetpreload.so"
    version=$(sed -n 's/^Version: //p' "$work/tree/DEBIAN/control")+glibc236
    sed -i -e "s/^Version: .*/Version: $version/" -e 's/libc6 (>= 2\.3[789])/libc6 (>= 2.36)/' \
           -e 's/libc6 (>= 2\.4[0-9])/libc6 (>= 2.36)/' "$work/tree/DEBIAN/control"
    (cd "$work/tree" && find usr etc var -type f -exec md5sum {} + > DEBIAN/md5sums)
    package=$keep/apptainer_${version}_amd64.deb
    quietly dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/tree" "$package"
  fi
  packages+=("$package")
fi
quietly apt-get -q update
quietly apt-get -q install -y --no-install-recommends "${packages[@]}"

# squashfuse for ordinary users needs what udev gives everywhere else (crw-rw-rw-)
if [ -c /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then chmod 666 /dev/fuse; fi
# a root without CAP_SYS_RESOURCE (many VMs) cannot hand out "full" capabilities; an extractor needs none
sed -i 's/^root default capabilities = .*/root default capabilities = no/' /etc/apptainer/apptainer.conf
apptainer --version
