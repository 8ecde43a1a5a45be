#!/bin/bash
# Make the ACL file of Redis and one file per role with the URL that it logs in with. Files that are there stay.
#
#   make-users.sh FOLDER HOST:PORT [rediss|redis]
#
# FOLDER gets redis-users.acl (hashes only), and for each role of deploy/roles ROLE.env with LUSTRE_EVENTS_REDIS_URL (mode
# 0600). Give each node only the files of the roles that it has.
set -euo pipefail
umask 077
[ $# -ge 2 ] || { echo "usage: $0 FOLDER HOST:PORT [rediss|redis]" >&2; exit 2; }
folder=$1; where=$2; scheme=${3:-rediss}
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$folder" ] || { echo "$folder: no such folder; make it first" >&2; exit 1; }
acl=$(grep -v '^#' "$here/users.acl.in")  # Redis takes no comments in an ACL file
for role in $(cut -d" " -f1 "$here/../roles"); do
  file=$folder/$role.env
  if [ -f "$file" ]; then
    password=$(sed -n "s,^LUSTRE_EVENTS_REDIS_URL=[a-z]*://le-$role:\([0-9a-f]*\)@.*,\1,p" "$file")
    [ -n "$password" ] || { echo "$file: has no URL of le-$role; repair it or move it away" >&2; exit 1; }
  else
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    echo "LUSTRE_EVENTS_REDIS_URL=$scheme://le-$role:$password@$where/0" >"$file"
  fi
  acl=${acl//@$role@/$(printf %s "$password" | sha256sum | cut -d' ' -f1)}
done
printf '%s\n' "$acl" >"$folder/redis-users.acl.new"
mv "$folder/redis-users.acl.new" "$folder/redis-users.acl"
echo "$folder/redis-users.acl and the URLs of all roles are there; load them with: redis-cli ACL LOAD"
