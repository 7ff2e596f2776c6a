#!/bin/sh
# fuzz.sh BUILD SECONDS [tile|machine|ir|safetensors|npy...]: libFuzzer on what reads other people's bytes, SECONDS each; without a name, on all
# of it. Each begins from valid input, kept and widened in BUILD/corpus-NAME. Exit status: 1 if any finds something (the input is left
# in BUILD/finding-NAME-...).
set -eu
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- tile machine ir safetensors npy
cd "$(dirname "$0")/.."
[ -e "$build/build.ninja" ] ||
    CC=clang-19 meson setup "$build" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link >/dev/null
status=0
for name; do
    corpus=$build/corpus-$name
    mkdir -p "$corpus"
    case $name in
    tile) program=tests/tile/fuzz_lang longest=6000
        cp tests/tile/*.py tests/tile/lang/*.txt src/tile/lang/prelude.py "$corpus/" ;;
    machine) program=tests/machine/fuzz_descriptions longest=8000 # descriptions in pieces of a hundred lines, the heads of the tables
        for f in data/machine/*.machine; do split -l 100 "$f" "$corpus/$(basename "$f")."; done
        for f in data/machine/*.tsv; do head -40 "$f" >"$corpus/$(basename "$f")"; done ;;
    ir) program=tests/ir/fuzz_parse longest=4000
        ninja -C "$build" --quiet tests/ir/seeds
        "$build/tests/ir/seeds" "$corpus" 100 ;;
    safetensors | npy) program=tests/faults/fuzz_files longest=2000 ;;
    *) echo "fuzz: no target $name; expected tile, machine, ir, safetensors or npy" >&2; exit 2 ;;
    esac
    ninja -C "$build" --quiet "$program" src/tw
    python3 tools/fuzz_seeds.py "$build/src/tw" "$name" "$corpus"
    echo "fuzz: $name for $seconds s"
    "$build/$program" -max_total_time="$seconds" -max_len=$longest -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$build/finding-$name-" "$corpus" >"$build/fuzz-$name.log" 2>&1 || { status=1; tail -60 "$build/fuzz-$name.log"; }
    grep -E "^Done|stat::number_of_executed_units" "$build/fuzz-$name.log" || true
done
exit $status
