#!/bin/sh
# The first start makes the cluster; the server runs as its own user.
set -e
if [ "$1" != postgres ]; then exec "$@"; fi
if [ "$(id -u)" = 0 ]; then exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"; fi
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  if [ -z "$POSTGRES_PASSWORD" ]; then
    echo "POSTGRES_PASSWORD is needed to make the cluster" >&2
    exit 1
  fi
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D $data --username=postgres --pwfile=/tmp/password --auth-host=scram-sha-256
  rm /tmp/password
fi
exec "$@" -D $data -c 'listen_addresses=*'
