#!/usr/bin/env bash
# Install the Debian packages that tests start: sound server, broker, browser, tracer.
#
# Tests skip, with the reason, what is not installed; CI calls this first so that nothing is
# skipped there. Without root it names what is missing and goes on. Services that the packages
# bring are not started: each test starts its own on loopback and ends it.
set -euo pipefail

packages=(
    alsa-utils libasound2-plugins pulseaudio pulseaudio-utils # capture: arecord, ALSA's plugins
    mosquitto mosquitto-clients                               # MQTT: a broker and its clients
    chromium                                                  # the monitor's page in a browser
    prometheus                                                # promtool checks the metrics
    faketime                                                  # a clock that jumps
    ffmpeg                                                    # sound files of every kind
    strace                                                    # what a command writes and opens
    locales                                                   # definitions of locales
    systemd                                                   # systemd-analyze checks the unit
)

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "Not installed, and tests that need them are skipped: ${missing[*]}" >&2
    exit 0
fi

policy=/usr/sbin/policy-rc.d # asked before a package starts its service; 101 says no
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "Installed: ${missing[*]}"
