#!/bin/sh
# The server runs as its own user, on a directory that is its own.
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  chown redis:redis .
  exec setpriv --reuid redis --regid redis --clear-groups "$0" "$@"
fi
exec "$@"
