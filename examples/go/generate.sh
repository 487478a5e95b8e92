#!/bin/sh
# Generates the stubs from proto/ into examples/go/gen.
set -eu
cd "$(dirname "$0")"
# Both plugins at once: each by itself would compile what they share.
go build tool
exec ../../node_modules/.bin/buf generate
