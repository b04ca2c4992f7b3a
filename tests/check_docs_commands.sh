#!/bin/sh
# check_docs_commands.sh MODE ROOT PROGRAM OUT [EXPECTED]: the `./run.sh` commands of the documentation, those on lines of
# their own and those in `code`, given to the real program.
#   ask  every command, in an empty directory and without data: whatever it misses there, it must not be a mistake in the
#        command line (exit code 2)
#   run  blocks after <!-- run -->, command by command in one directory a page, on 1,000 of the real images and with one
#        epoch: every one must succeed. Exits with 77 where the data set is missing.
# With EXPECTED, the breaches found must be exactly the lines of that file: the check's own test.
set -eu
mode=$1 root=$2 program=$3 out=$4 expected=${5-}

rm -rf "$out"
mkdir -p "$out"
cd "$root"

# page TAB run|ask TAB command
find . -name '*.md' \( -path './docs/*' -o -path ./README.md \) | sed 's,^\./,,' | sort | while read -r page; do
    awk -v page="$page" '
        function command(how, text) {
            sub(/^ *\.\/run\.sh */, "", text)
            sub(/ +#.*$/, "", text)
            if (text ~ / /) print page "\t" how "\t" text  # a verb alone is for check_docs.cmake
        }
        /^```/ { inside = !inside; how = inside && marked && $0 ~ /^```sh/ ? "run" : "ask"; text = $0 ~ /^```text/ }
        { marked = $0 ~ /^<!-- run -->/ || ($0 ~ /^```/ && 0) }
        inside && /^```/ { next }
        inside && text { next }
        inside && how == "run" && !/^ *\.\/run\.sh/ { print page "\tother\t" $0; next }
        /^ *\.\/run\.sh / { if (!inside) how = "ask"; command(how, $0); next }
        {
            line = $0
            while (match(line, /`\.\/run\.sh [^`]*`/)) {
                command("ask", substr(line, RSTART + 1, RLENGTH - 2))
                line = substr(line, RSTART + RLENGTH)
            }
        }' "$page"
done >"$out/commands"

# The first N images of a set: header of IDX, then what follows the original's.
cut_set() { # stem, octal count of at most 16 bits, count
    from=$data/$1
    [ -e "$from-images-idx3-ubyte" ] || from=$data/$1
    unpacked() { if [ -e "$1" ]; then cat "$1"; else gzip -dc "$1.gz"; fi; }
    { printf '\000\000\010\003\000\000'"$2"'\000\000\000\034\000\000\000\034'
      unpacked "$from-images-idx3-ubyte" | tail -c +17 | head -c $(($3 * 784)); } >"$out/data/$1-images-idx3-ubyte"
    { printf '\000\000\010\001\000\000'"$2"
      unpacked "$from-labels-idx1-ubyte" | tail -c +9 | head -c "$3"; } >"$out/data/$1-labels-idx1-ubyte"
}
if [ "$mode" = run ]; then
    data=${HWNAS_DATA-/usr/share/datasets/fashion-mnist}
    if ! ls "$data"/t10k-labels-idx1-ubyte* >/dev/null 2>&1; then
        echo "SKIPPED: no Fashion-MNIST at $data"
        exit 77
    fi
    mkdir "$out/data"
    cut_set train '\003\350' 1000 2>/dev/null
    cut_set t10k '\000\310' 200 2>/dev/null
fi

# As it stands, but short: the images above, one epoch, few candidates, and a budget that a busy machine keeps.
shortened() {
    set -- "$(echo "$1" | sed 's,--latency-ms [0-9.]*,--latency-ms 50,; s,/[0-9.]*ms\.,/50ms.,g')"
    case $1 in
        *--resume*) echo "$1" ;;
        search*) echo "$1 --images 500 --epochs 1 --batch 32 --validation 200 --no-verify" ;;
        train*) echo "$1 --images 500 --epochs 1" ;;
        best*) echo "$1 --candidates 4" ;;
        evaluate*) echo "$1 --no-verify" ;;
        *) echo "$1" ;;
    esac
}

HWNAS_COMMAND=./run.sh
export HWNAS_COMMAND
: >"$out/breaches"
done=0
tab=$(printf '\t')
while IFS=$tab read -r page how command; do
    case $mode$how in
        runother)
            echo "$page: \"$command\" among commands to run is not ./run.sh" >>"$out/breaches"
            continue
            ;;
        runrun)
            place=$out/$(echo "$page" | tr -c 'A-Za-z0-9\n' _)
            line=$(shortened "$command")
            HWNAS_DATA=$out/data
            ;;
        askask | askrun)
            case $command in "test "* | "fuzz "* | "bench "* | "shell "*) continue ;; esac
            place=$out/empty
            line=$command
            HWNAS_DATA=$out/nowhere
            ;;
        *) continue ;;
    esac
    export HWNAS_DATA
    mkdir -p "$place"
    code=0
    (cd "$place" && timeout 120 sh -c "'$program' $line") >"$out/said" 2>&1 </dev/null || code=$?
    done=$((done + 1))
    if [ "$mode" = ask ] && [ "$code" -ne 2 ] && [ "$code" -lt 124 ]; then continue; fi
    if [ "$mode" = run ] && [ "$code" -eq 0 ]; then continue; fi
    echo "$page: ./run.sh $command: $(grep -v '^epoch' "$out/said" | tail -n 1)" >>"$out/breaches"
done <"$out/commands"

if [ -n "$expected" ]; then
    diff "$expected" "$out/breaches"
elif [ -s "$out/breaches" ]; then
    cat "$out/breaches"
    exit 1
elif [ "$done" -eq 0 ]; then
    echo "no command was found"
    exit 1
fi
echo "$done commands"
