#!/bin/sh
# prints.sh PROGRAM REGEX [ARGUMENT...]: runs it; it must succeed, and what it prints must match. Its own exit code passes
# through, which CTest's PASS_REGULAR_EXPRESSION would not look at.
program=$1 regex=$2
shift 2
printed=$("$program" "$@")
code=$?
printf '%s\n' "$printed"
[ "$code" = 0 ] || exit "$code"
printf '%s\n' "$printed" | grep -Eq -- "$regex" || { printf 'this does not match: %s\n' "$regex"; exit 1; }
