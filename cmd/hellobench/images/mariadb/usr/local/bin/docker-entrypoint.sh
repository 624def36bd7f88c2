#!/bin/sh
# The first start makes the databases; the server runs as its own user.
set -e
if [ "$1" != mariadbd ]; then exec "$@"; fi
if [ ! -d /var/lib/mysql/mysql ]; then
  if [ -z "$MARIADB_ROOT_PASSWORD" ]; then
    echo "MARIADB_ROOT_PASSWORD is needed to make the databases" >&2
    exit 1
  fi
  mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db > /dev/null
  printf "ALTER USER root@localhost IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_PASSWORD" > /run/mysqld/first.sql
  chown mysql:mysql /run/mysqld/first.sql
  set -- "$@" --init-file=/run/mysqld/first.sql
fi
exec "$@" --user=mysql
