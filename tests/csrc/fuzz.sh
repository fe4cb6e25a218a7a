#!/usr/bin/env bash
# The C core under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer: fuzz.sh [MINUTES]
#
# Inputs that reach new code are kept in build/fuzz/corpus, and one that fails in build/fuzz/found.
# Needs clang; without it, it says so and does nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/fuzz
command -v clang >/dev/null || { echo "clang is not here: libFuzzer is left out"; exit 0; }
flags=(-std=c11 -g -O1 -ffp-contract=off -fno-sanitize-recover=all)
sanitizers=address,undefined,float-cast-overflow
mkdir -p "$work/core" "$work/corpus" "$work/found"
find csrc -name '*.c' | xargs -P "$(nproc)" -I{} sh -c '
    source=$1 folder=$2; shift 2
    object=$folder/$(echo "$source" | tr / _).o
    [ "$object" -nt "$source" ] || exec clang "$@" -c "$source" -o "$object"' \
    sh {} "$work/core" "${flags[@]}" "-fsanitize=fuzzer-no-link,$sanitizers"
clang "${flags[@]}" -Wall -Wextra -Werror -Icsrc tests/csrc/fuzz_core.c "$work"/core/*.o \
    "-fsanitize=fuzzer,$sanitizers" -lm -o "$work/fuzz_core"
"$work/fuzz_core" -max_total_time="$((60 * ${1:-10}))" -max_len=40000 -timeout=5 -rss_limit_mb=1000 \
    -print_final_stats=1 -artifact_prefix="$work/found/" "$work/corpus"
