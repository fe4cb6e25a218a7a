#!/usr/bin/env bash
# The lines of docs/howto/install.md for a Raspberry Pi, on the emulated Debian arm64, with the wheel.
#
# The lines are read from the page, between its marks, so that what is tested is what it says; the
# line of apt is left out, since the emulated tree has these packages already. `make wheels` must
# have left the wheel in dist/. There is no compiler on PATH.
set -euo pipefail
# shellcheck source=tests/arm64/emulated.sh
. "$(dirname "$0")/emulated.sh"
install_tools
debian_packages
interpreter

ln -sf python "$root/usr/bin/python3"
home=$work/home
rm -rf "$home"
mkdir -p "$home"
cp dist/asd_edge-*aarch64.whl "$home"
lines=$(sed -n '/<!-- raspberry-pi: begin -->/,/<!-- raspberry-pi: end -->/s/^    //p' docs/howto/install.md |
    grep -v '^sudo apt ')
[ -n "$lines" ] || { echo "docs/howto/install.md has no lines for a Raspberry Pi" >&2; exit 1; }
say "as on a Raspberry Pi"
printf '%s\n' "$lines"
cd "$home"
env -i HOME="$home" PATH="$root/usr/bin" LANG=C.UTF-8 PIP_CERT="${PIP_CERT:-}" \
    PIP_DISABLE_PIP_VERSION_CHECK=1 /bin/sh -ec "
! command -v gcc cc clang
$lines" | tee output.txt
grep -q 'faulty.flac .*ANOMALOUS' output.txt
grep -q 'normal.flac .* normal$' output.txt
say "the lines of docs/howto/install.md work on $("$qemu" --version | head -1)"
