#!/bin/sh
# The whole way on a small synthetic data set: make demo. Everything goes below the folder given.
set -eu
out=${1:?usage: demo.sh FOLDER}
machine=valve
say() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$out"
mkdir -p "$out"
say asd-data synth "$out/data" --machine $machine
say asd-train "$out/data" --machine $machine -o "$out/runs/$machine"
say asd-export "$out/runs/$machine" -o "$out/$machine.asd"
say asd-edge verify "$out/$machine.asd"
say asd-edge score --bundle "$out/$machine.asd" \
    "$out/data/$machine/test/section_00_source_test_normal_0000.wav" \
    "$out"/data/$machine/test/section_00_source_test_anomaly_000[0-3]*.wav
say asd-evaluate "$out/$machine.asd" "$out/data" -o "$out/evaluation"
