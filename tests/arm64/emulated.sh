#!/usr/bin/env bash
# An ARM64 Debian 12 for this folder's scripts, emulated: sourced, not run.
#
# Lays out an ARM64 Python from Debian's arm64 packages under build/arm64/root, and runs it by
# qemu-user. There is no compiler in it: the wheel is cross-compiled by the host's.
#
# build/arm64 takes up to 1 GB; `make clean` removes it.
# Environment: PYTHON, the host's Python with pip.
set -euo pipefail
cd "$(dirname "$0")/../.."
host_python=$(command -v "${PYTHON:-.venv/bin/python}")
qemu=$(command -v qemu-aarch64-static || true)
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
    qemu=$(command -v qemu-aarch64-static)
}

# A tree of apt's own: the host's sources, but arm64, and nothing counts as installed.
debian_packages() {
    local wanted=(python3 python3-venv libpython3.11-dev libstdc++6 libgomp1)
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
exec $qemu -L $root -0 "\$0" $root/usr/bin/python3.11 "\$@"
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

# aarch64 wheels from the index into a folder: wheels_into FOLDER REQUIREMENT...
wheels_into() {
    local folder=$1 name
    name=$(basename "$folder")
    shift
    done_before "$name" "$@" "$(sha256sum constraints.txt)" && return
    say "aarch64 wheels: $*"
    rm -rf "$folder"
    "$host_python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --constraint constraints.txt --target "$folder" --only-binary=:all: \
        --implementation cp --python-version 3.11 "${tags[@]/#/--platform=}" "$@"
    done_now "$name" "$@" "$(sha256sum constraints.txt)"
}

# requirements TABLE.KEY of pyproject.toml, one a line
requirements() {
    "$host_python" - "$1" "$2" <<'PY'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)[sys.argv[1]][sys.argv[2]], sep="\n")
PY
}

# setuptools runs emulated, so that every answer of sysconfig is the ARM one; the compiler
# that it starts, aarch64-linux-gnu-gcc, is the host's.
wheel_for_aarch64() {
    say "wheel for aarch64"
    rm -rf "$work/wheel" "$work/package" build/lib.linux-aarch64-* build/temp.linux-aarch64-*
    local needed
    mapfile -t needed < <(requirements build-system requires)
    wheels_into "$work/build-site" "${needed[@]}"
    ASD_EDGE_WERROR=1 CFLAGS="-idirafter $root/usr/include" PYTHONPATH=$work/build-site "$python" -P -c "
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
