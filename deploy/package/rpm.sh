#!/bin/bash
# Make the RPM of lustre-events from a wheelhouse, for nodes of this machine's kind.
#
#   rpm.sh WHEELHOUSE FOLDER [RPMBUILD OPTION...]     e.g. --define "python python3" where no python3.11 is called so
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 WHEELHOUSE FOLDER [RPMBUILD OPTION...]" >&2; exit 2; }
project=$(cd "$(dirname "$0")/../.." && pwd)
wheels=$(cd "$1" 2>/dev/null && pwd) || { echo "$1: no such folder; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
wheel=$(ls "$wheels"/lustre_events-*.whl 2>/dev/null | sort -V | tail -1)
[ -n "$wheel" ] || { echo "$wheels: no wheel of lustre-events in it; make it with deploy/package/wheelhouse.sh" >&2; exit 1; }
version=$(basename "$wheel" | cut -d- -f2)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
source=$work/lustre-events-$version
mkdir "$source"
cp -r "$project/deploy" "$project/README.md" "$project/LICENSE" "$source/"
cp -r "$wheels" "$source/wheelhouse"
tar czf "$source.tar.gz" -C "$work" "$(basename "$source")"
rpmbuild -bb --define "_topdir $work" --define "_sourcedir $work" --define "_rpmdir $out" \
  --define "wheel_version $version" "$@" "$project/deploy/package/lustre-events.spec"
