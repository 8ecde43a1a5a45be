#!/bin/bash
# Install what a make target needs on Debian 12, say so, and skip what is there.
#
#   deploy/bootstrap.sh demo|test|bench
#
# System packages come from apt and need root; without root it says what is missing and goes on with what there is.
# Python packages go into the venv named by VENV (default .venv). For demo, tests and CI; for production see deploy/README.md.
set -euo pipefail
goal=${1:?usage: bootstrap.sh demo|test|bench}
here=$(cd "$(dirname "$0")" && pwd); root=$(dirname "$here"); venv=${VENV:-$root/.venv}
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp); trap 'rm -f "$log"' EXIT

say() { echo "[setup] $*" | fold -s -w 80 >&2; }  # lines that a terminal does not break
quietly() {  # run a command; show its output only if it fails
  if ! "$@" >"$log" 2>&1; then say "failed: $*"; tail -n 30 "$log" >&2; return 1; fi
}

packages=()
want() { command -v "$1" >/dev/null || packages+=("$2"); }   # want PROGRAM PACKAGE
want redis-server redis-server
want setpriv util-linux
want mmdebstrap mmdebstrap
want python3 python3
if [ "$goal" != demo ]; then
  want gcc gcc
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || want postgres postgresql
fi
if [ "$goal" = test ]; then
  want chromium chromium; want chromedriver chromium-driver
  want systemd-analyze systemd; want systemd-nspawn systemd-container; want git git; want promtool prometheus; want rpmbuild rpm; want cpio cpio; want openssl openssl; want file file; want bsdtar libarchive-tools
  want munged munge; want slurmctld slurmctld; want slurmd slurmd; want sbatch slurm-client; want nats-server nats-server
  want slurmdbd slurmdbd; want mariadbd mariadb-server-core; want rsync rsync; want rclone rclone
fi
if command -v python3 >/dev/null; then python3 -I -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
else packages+=(python3-venv); fi
if [ "$goal" != demo ] && ! [ -e /usr/include/stdio.h ]; then packages+=(libc6-dev); fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  if [ ${#packages[@]} -gt 0 ]; then
    say "installing with apt, which takes some minutes: ${packages[*]}"
    quietly apt-get -q update
    # Packages are wanted for their programs: none of them may start a service here, nor make a database cluster.
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
                                      trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT; }
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
      echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    RUNLEVEL=1 quietly apt-get -q install -y --no-install-recommends "${packages[@]}"
  fi
  if [ "$goal" = test ] && ! getent passwd | awk -F: '$3 >= 1000 && $3 < 60000 {found = 1} END {exit !found}'; then
    say "adding the user le-test: tests become an ordinary user, and this machine has none"
    quietly useradd --no-create-home --shell /usr/sbin/nologin le-test
  fi
  if ! command -v apptainer >/dev/null && ! command -v singularity >/dev/null; then
    say "installing Apptainer, rebuilt for Debian 12: some minutes (for demo and CI only)"
    quietly "$here/setup-apptainer.sh" || say "going on without Apptainer"
  fi
else
  [ ${#packages[@]} -eq 0 ] || say "not root, so not installed: ${packages[*]}"
  command -v apptainer >/dev/null || command -v singularity >/dev/null \
    || say "not root, so Apptainer is not installed: extractors will run as plain processes"
fi

case $goal in demo) extras=embedded,web ;; *) extras=embedded,dashboard,kafka,nats,postgresql,web,test ;; esac
if [ "$(id -u)" != 0 ] || ! command -v apptainer >/dev/null; then extras=$extras,process; fi
stamp=$venv/.installed-$goal; sum="$extras $(cat "$root/pyproject.toml" "$root/deploy/constraints.txt" | sha256sum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
  say "installing Python packages into ${venv#"$root"/}: a minute or more"
  [ -x "$venv/bin/python" ] || python3 -I -m venv "$venv"
  quietly "$venv/bin/python" -I -m pip install --disable-pip-version-check -q --constraint "$root/deploy/constraints.txt" -e "$root[$extras]"
  echo "$sum" >"$stamp"
fi
