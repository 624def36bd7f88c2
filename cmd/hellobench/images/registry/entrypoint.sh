#!/bin/sh
set -e
exec docker-registry serve "$@"
