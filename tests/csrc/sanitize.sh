#!/usr/bin/env bash
# The C core and its binding under sanitizers and valgrind: sanitize.sh
#
#   AddressSanitizer and UndefinedBehaviorSanitizer, gcc and clang    driver, allocation_driver
#   ThreadSanitizer, gcc                                              thread_driver, binding.py
#   valgrind                                                          all drivers, binding.py
#
# It takes some minutes and builds under build/sanitize. Everything has the assertions of the core.
# Needs gcc, and has clang and valgrind as Debian packages.
# Environment: PYTHON, a Python with the package's build and runtime dependencies.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(command -v "${PYTHON:-.venv/bin/python}")
work=$PWD/build/sanitize
jobs=$(nproc)
wrap=-Wl,--wrap=malloc,--wrap=calloc,--wrap=aligned_alloc,--wrap=free

say() { printf '\n== %s\n' "$*"; }

# core FOLDER COMPILER FLAGS...: compile the C core.
core() {
    mkdir -p "$work/$1"
    find csrc -name '*.c' | xargs -P "$jobs" -I{} sh -c '
        folder=$1 compiler=$2 source=$3; shift 3
        exec "$compiler" -std=c11 -g -O1 -ffp-contract=off "$@" -c "$source" \
            -o "$folder/$(echo "$source" | tr / _).o"' sh "$work/$1" "$2" {} "${@:3}"
}

# driver FOLDER COMPILER NAME FLAGS...: link a driver to it.
driver() {
    "$2" -std=c11 -g -O1 -Wall -Wextra -Werror -Icsrc "tests/csrc/$3.c" "$work/$1"/*.o "${@:4}" -lm \
        -o "$work/$1/$3"
}

# package FOLDER SANITIZER: build the extension into build/sanitize/FOLDER, without touching the
# installed one.
package() {
    ASD_EDGE_SANITIZE=$2 "$python" -c "
import os, sys
sys.argv = ['setup.py', '-q', 'build', '--build-base=$work/$1', '--build-lib=$work/$1/lib']
exec(open('setup.py').read())"
}

for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || { say "$compiler is not here: left out"; continue; }
    say "AddressSanitizer, UndefinedBehaviorSanitizer, $compiler"
    flags=(-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all)
    core "$compiler" "$compiler" "${flags[@]}"
    driver "$compiler" "$compiler" driver "${flags[@]}"
    driver "$compiler" "$compiler" allocation_driver "${flags[@]}" "$wrap"
    "$work/$compiler/driver"
    "$work/$compiler/allocation_driver"
done

say "ThreadSanitizer"
core thread gcc -fsanitize=thread
driver thread gcc thread_driver -fsanitize=thread -pthread
# Without address randomization, which some kernels do more of than ThreadSanitizer can bear.
setarch -R "$work/thread/thread_driver"

say "ThreadSanitizer, the binding"
package thread-binding thread
LD_PRELOAD=$(gcc -print-file-name=libtsan.so) PYTHONPATH=$work/thread-binding/lib OPENBLAS_NUM_THREADS=1 \
    TSAN_OPTIONS=halt_on_error=1:exitcode=66 PYTHONSAFEPATH=1 \
    setarch -R "$python" tests/csrc/binding.py

command -v valgrind >/dev/null || { say "valgrind is not here: left out"; exit 0; }
say "valgrind"
check=(valgrind --quiet --error-exitcode=66)
core plain gcc
driver plain gcc driver
driver plain gcc allocation_driver "$wrap"
driver plain gcc thread_driver -pthread
for name in driver allocation_driver thread_driver; do
    "${check[@]}" --leak-check=full "$work/plain/$name"
done

say "valgrind, the binding"
# Python's own allocator would hide the ends of arrays. Leaks are counted in the drivers.
PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 "${check[@]}" --suppressions=tests/csrc/python.supp \
    "$python" tests/csrc/binding.py 1
say "clean"
