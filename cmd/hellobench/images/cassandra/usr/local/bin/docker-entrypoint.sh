#!/bin/sh
set -e
if [ "$1" != cassandra ]; then exec "$@"; fi
exec java @/opt/cassandra/conf/jvm.options -javaagent:"$(echo /opt/cassandra/lib/jamm-*.jar)" \
  -cp "/opt/cassandra/conf:/opt/cassandra/lib/*" org.apache.cassandra.service.CassandraDaemon
