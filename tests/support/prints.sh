#!/bin/sh
# prints.sh PROGRAM REGEX: runs it; it must succeed, and what it prints must match. Its own exit code passes through.
printed=$("$1")
code=$?
printf '%s\n' "$printed"
[ "$code" = 0 ] || exit "$code"
printf '%s\n' "$printed" | grep -Eq -- "$2" || { printf 'this does not match: %s\n' "$2"; exit 1; }
