"""A synthetic data set of machine sounds, for demos and tests: `asd-data synth`.

tones     the building blocks: phases, harmonics, coloured noise, ringing impulses
models    the seven machines and their faults, by simple physics
scene     one clip: section, domain, fault, factory noise, gain
dataset   a folder of clips in the layout of DCASE 2022 and later, in parallel
"""

from __future__ import annotations

MACHINES = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")
"""The seven machine types of DCASE 2020 and 2021 Task 2."""

SAMPLE_RATE = 16000
"""Hz, as in DCASE Task 2."""
