#!/bin/sh
# Runs a compiler command and keeps what the assembler said of registers and spills beside the object file (-o), for
# cmake/check_registers.cmake; everything else is passed on.
object=
previous=
for argument; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
"$@" >"$object.ptxas" 2>&1
status=$?
grep -v -e '^ptxas info' -e '^    [0-9]* bytes stack frame' "$object.ptxas" >&2
exit $status
