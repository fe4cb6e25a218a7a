#!/usr/bin/env bash
# The runtime's tests on ARM64, emulated: run.sh [arguments of pytest]
#
# On a Debian 12 host. librosa, scipy and scikit-learn are there as references; PyTorch, too slow, is
# not: the bundle comes from the host, and so do the decisions that must be met.
# Environment: PYTHON, the host's Python with the package and its development extras.
set -euo pipefail
# shellcheck source=tests/arm64/emulated.sh
. "$(dirname "$0")/emulated.sh"

# The search for leaks needs ptrace, which qemu-user lacks.
sanitized_core() {
    say "the C core under AddressSanitizer and UndefinedBehaviorSanitizer"
    aarch64-linux-gnu-gcc -std=c11 -g -O1 -ffp-contract=off -Wall -Wextra -Werror \
        -fsanitize=address,undefined -fno-sanitize-recover=all -static-libasan -static-libubsan \
        -Icsrc tests/csrc/driver.c csrc/*.c csrc/kernels/*.c -lm -o "$work/driver"
    ASAN_OPTIONS=detect_leaks=0 "$qemu" -L "$root" "$work/driver"
}

record() {
    say "decisions of the host"
    ASD_EDGE_RECORDED=$work/recorded "$host_python" -m pytest -q -p no:cacheprovider tests/arm64/on_host.py
}

# On PATH there is the ARM root alone: a compiler found elsewhere would be the host's. The first
# import of librosa takes two or three minutes, which numba spends compiling; it keeps the result.
# test_fit.py is left out: it compares with functions of asd_training, which needs PyTorch. So is a
# test of memory, which would measure the emulator's.
tests() {
    say "tests on $("$qemu" --version | head -1)"
    env -i HOME="$HOME" PATH="$root/usr/bin" PYTHONPATH="$work/package:$work/site" \
        PYTHONSAFEPATH=1 OMP_NUM_THREADS=2 ASD_EDGE_RECORDED="$work/recorded" \
        ASD_EDGE_RECORDINGS="${ASD_EDGE_RECORDINGS:-}" "$python" -m pytest -p no:cacheprovider \
        --hypothesis-profile=few --tiny-bundle "$work/recorded/hummer.asd" \
        --ignore=tests/scoring/test_fit.py \
        --deselect=tests/audio/test_recording.py::test_memory_does_not_grow_with_length \
        tests/arm64/on_arm.py \
        tests/{audio,frontend,scoring} tests/bundle/test_format.py tests/cli/test_score.py "$@"
}

install_tools
debian_packages
interpreter
mapfile -t needed < <(requirements project dependencies)
wheels_into "$work/site" "${needed[@]}" pytest hypothesis librosa scipy scikit-learn
wheel_for_aarch64
sanitized_core
record
tests "$@"
