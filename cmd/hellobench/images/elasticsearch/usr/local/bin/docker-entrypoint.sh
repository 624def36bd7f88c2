#!/bin/sh
# Settings are variables with a dot in their names, which shells do not pass on: the server gets them as arguments.
set -e
if [ "$1" != elasticsearch ]; then exec "$@"; fi
for setting in $(tr '\0' '\n' < /proc/$$/environ | sed -n '/^[a-z_]*\.[a-z_.]*=/s/^/-E/p'); do
  set -- "$@" "$setting"
done
exec "$@"
