#!/usr/bin/env bash
# The runtime's tests on ARM64, emulated: run.sh [arguments of pytest]
#
# On a Debian 12 host: cross-builds the wheel for aarch64, lays out an ARM64 Python from
# Debian's arm64 packages and aarch64 wheels under build/arm64, and runs it by qemu-user.
# librosa, scipy and scikit-learn are there as references; PyTorch, too slow, is not: the
# bundle comes from the host, and so do the decisions that must be met.
#
# build/arm64 takes 0.8 GB; `make clean` removes it.
# Environment: PYTHON, the host's Python with the package and its development extras.
set -euo pipefail
cd "$(dirname "$0")/../.."
host_python=$(command -v "${PYTHON:-.venv/bin/python}")
work=$PWD/build/arm64
root=$work/root
python=$root/usr/bin/python
# pip takes these literally: the older tags do not follow from the newest.
tags=(manylinux_2_28_aarch64 manylinux_2_27_aarch64 manylinux_2_26_aarch64
      manylinux_2_17_aarch64 manylinux2014_aarch64)
mkdir -p "$work"

say() { printf '\n== %s\n' "$*"; }

# done_before NAME CONTENT...: whether the step ran with the same content; forgets it if not.
done_before() {
    local stamp=$work/.$1
    [ "$(cat "$stamp" 2>/dev/null)" = "${*:2}" ] || { rm -f "$stamp"; return 1; }
}
done_now() { printf '%s\n' "${*:2}" >"$work/.$1"; }

install_tools() {
    local missing=()
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
    command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Debian packages: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        echo "These are missing; as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# A tree of apt's own: the host's sources, but arm64, and nothing counts as installed.
debian_packages() {
    local wanted=(python3.11 libpython3.11-dev libstdc++6 libgomp1)
    done_before debian "${wanted[@]}" && return
    say "Debian arm64: ${wanted[*]}, and what they need"
    local apt=$work/apt
    mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial
    : >"$apt/state/status"
    cat >"$apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Debug::NoLocking "true";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
EOF
    APT_CONFIG=$apt/apt.conf apt-get update -qq
    APT_CONFIG=$apt/apt.conf apt-get install -y -qq --no-install-recommends --download-only "${wanted[@]}"
    rm -rf "$root"
    mkdir -p "$root"
    for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    done_now debian "${wanted[@]}"
}

# Named as a file beside its own lib/, the interpreter finds its prefix, and sys.executable
# starts another emulated process.
interpreter() {
    cat >"$python" <<EOF
#!/bin/sh
exec $(command -v qemu-aarch64-static) -L $root -0 "\$0" $root/usr/bin/python3.11 "\$@"
EOF
    chmod +x "$python"
    # onnxruntime asks it for the kind of core, and crashes on the host's answer: two Cortex-A72.
    mkdir -p "$root/proc"
    for core in 0 1; do
        printf '%s\t: %s\n' processor $core Features 'fp asimd evtstrm crc32 cpuid' \
            'CPU implementer' 0x41 'CPU architecture' 8 'CPU variant' 0x0 \
            'CPU part' 0xd08 'CPU revision' 3
        echo
    done >"$root/proc/cpuinfo"
}

wheels() {
    # The runtime's dependencies as pyproject.toml has them; the build's; the tests'.
    local wanted
    mapfile -t wanted < <("$host_python" - <<'EOF'
import tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
print(*project["project"]["dependencies"], *project["build-system"]["requires"], sep="\n")
print(*"pytest hypothesis librosa scipy scikit-learn".split(), sep="\n")
EOF
    )
    done_before wheels "${wanted[@]}" "$(sha256sum constraints.txt)" && return
    say "aarch64 wheels: ${wanted[*]}"
    rm -rf "$work/site"
    "$host_python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --constraint constraints.txt --target "$work/site" --only-binary=:all: \
        --implementation cp --python-version 3.11 "${tags[@]/#/--platform=}" "${wanted[@]}"
    done_now wheels "${wanted[@]}" "$(sha256sum constraints.txt)"
}

# setuptools runs emulated, so that every answer of sysconfig is the ARM one; the compiler
# that it starts, aarch64-linux-gnu-gcc, is the host's.
wheel_for_aarch64() {
    say "wheel for aarch64"
    rm -rf "$work/wheel" "$work/package" build/lib.linux-aarch64-* build/temp.linux-aarch64-*
    ASD_EDGE_WERROR=1 CFLAGS="-idirafter $root/usr/include" PYTHONPATH=$work/site "$python" -P -c "
from setuptools import build_meta
build_meta.build_wheel('$work/wheel')" >"$work/wheel.log" 2>&1 || { cat "$work/wheel.log"; exit 1; }
    "$host_python" -m zipfile -e "$work"/wheel/*.whl "$work/package"
    local built
    built=$(ls "$work"/package/asd_edge/_core*.so)
    LC_ALL=C readelf -h "$built" | grep -q 'Machine: *AArch64' || {
        echo "$built is not an aarch64 library" >&2
        exit 1
    }
    ls "$work"/wheel
}

# The search for leaks needs ptrace, which qemu-user lacks.
sanitized_core() {
    say "the C core under AddressSanitizer and UndefinedBehaviorSanitizer"
    aarch64-linux-gnu-gcc -std=c11 -g -O1 -ffp-contract=off -Wall -Wextra -Werror \
        -fsanitize=address,undefined -fno-sanitize-recover=all -static-libasan -static-libubsan \
        -Icsrc tests/csrc/driver.c csrc/*.c csrc/kernels/*.c -lm -o "$work/driver"
    ASAN_OPTIONS=detect_leaks=0 qemu-aarch64-static -L "$root" "$work/driver"
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
    say "tests on $(qemu-aarch64-static --version | head -1)"
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
wheels
wheel_for_aarch64
sanitized_core
record
tests "$@"
