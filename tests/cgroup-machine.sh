#!/bin/bash
# Run tests on Debian's kernel with one tree of cgroups (version 2) and with systemd as process 1, in an emulator: this
# machine may have version 1, or no systemd that runs.
#
#   tests/cgroup-machine.sh [PYTEST ARGUMENT...]     default: tests/integration/test_cgroups.py
#
# The machine sees this one's files, and writes into its own memory only; it has no network. It runs on Debian 12, as
# root, with qemu-system-x86, systemd and cpio; kernel and busybox are taken once from the mirror in this machine's apt
# sources into LUSTRE_EVENTS_KERNEL, by default ~/.cache/lustre-events/kernel. 5 minutes on 2 quiet cores.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
kernel=${LUSTRE_EVENTS_KERNEL:-${XDG_CACHE_HOME:-$HOME/.cache}/lustre-events/kernel}
die() { echo "[cgroups] $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "packages are unpacked and this machine's files read as root; run this as root"
for tool in qemu-system-x86_64 cpio dpkg-deb /lib/systemd/systemd; do
  command -v "$tool" >/dev/null || die "$tool is not installed; apt-get install qemu-system-x86 cpio systemd"
done
[ $# -gt 0 ] || set -- tests/integration/test_cgroups.py
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p"
modules+=" overlay fuse squashfs loop"

if ! [ -e "$kernel/vmlinuz" ]; then
  rm -rf "$kernel.new"
  mkdir -p "$kernel.new/packages" "$kernel.new/modules"
  (cd "$kernel.new/packages" &&
    apt-get -q download busybox-static "$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -1)" &&
    for package in *.deb; do dpkg-deb -x "$package" ..; done) >&2
  cp "$kernel.new"/boot/vmlinuz-* "$kernel.new/vmlinuz"
  for name in $modules; do
    find "$kernel.new/lib/modules" -name "$name.ko" -exec cp {} "$kernel.new/modules/" \;
  done
  rm -rf "$kernel.new/packages" "$kernel.new/boot" "$kernel.new/lib"
  mv "$kernel.new" "$kernel"
fi

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/tree/{bin,dev,proc,sys,modules,lower,upper,new,units}
cp "$kernel/bin/busybox" "$work/tree/bin/"
cp "$kernel"/modules/*.ko "$work/tree/modules/"
cat >"$work/tree/init" <<INIT
#!/bin/busybox sh
PATH=/bin; /bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for name in $modules; do insmod /modules/\$name.ko; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose files /lower
mount -t tmpfs t /upper; mkdir /upper/upper /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work o /new
rm -f /new/.dockerenv; mount -t tmpfs t /new/tmp; cp /inside /new/inside; cp /units/* /new/etc/systemd/system/
for each in dev proc sys; do mount --move /\$each /new/\$each; done
mkdir -p /new/dev/shm; mount -t tmpfs t /new/dev/shm
chmod 666 /new/dev/fuse  # as udev does, for containers of ordinary users
# Processes below a chroot get no user namespaces, so the new root takes the place of this one.
exec switch_root /new /lib/systemd/systemd --system --unit=inside.target
INIT
{ echo "cd $(printf %q "$project"); export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin"
  echo "$(printf '%q ' .venv/bin/python -P -m pytest -q --color=no -p no:cacheprovider --timeout=900 "$@")"
  echo 'echo "pytest ended with $?"; echo o >/proc/sysrq-trigger'; } >"$work/tree/inside"
printf '[Unit]\nDefaultDependencies=no\nRequires=inside.service\n' >"$work/tree/units/inside.target"
printf '%s\n' '[Unit]' DefaultDependencies=no '[Service]' Type=exec 'ExecStart=/bin/bash /inside' StandardOutput=tty \
  StandardError=inherit TTYPath=/dev/ttyS0 >"$work/tree/units/inside.service"
chmod +x "$work/tree/init"
(cd "$work/tree" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
# Wheels want more than the oldest processors have.
timeout 2400 qemu-system-x86_64 -machine q35 -accel tcg -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm \
  -m 2048 -smp 1 -display none -monitor none -serial stdio -no-reboot -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
  -append "console=ttyS0 quiet rdinit=/init panic=-1 cgroup_no_v1=all" \
  -virtfs "local,path=/,mount_tag=files,security_model=none,readonly=on,multidevs=remap" </dev/null | tee "$work/said"
grep -q "^pytest ended with 0" "$work/said"
