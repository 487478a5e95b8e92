#!/bin/sh
# Generates the stubs from proto/ into examples/go/gen.
set -eu
cd "$(dirname "$0")"
# Both plugins at once: separate builds would compile their shared code twice.
go build tool
exec ../../node_modules/.bin/buf generate
