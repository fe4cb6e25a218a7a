#!/usr/bin/env bash
# Cross-build the wheel for aarch64 into build/arm64/wheel, on a Debian 12 host.
set -euo pipefail
# shellcheck source=tests/arm64/emulated.sh
. "$(dirname "$0")/emulated.sh"

install_tools
debian_packages
interpreter
wheel_for_aarch64
