"""Build what the wheel contains: the untrained model, the default bundle, the examples.

python -m asd_export.build_default_bundle

writes asd_edge/data/default.asd and asd_edge/data/examples anew, from the preset `statistics` and
the synthetic machines. Same files each time on one machine, with one numpy and one PyTorch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.analysis import Analysis
from asd_edge.bundle import locate
from asd_edge.bundle.format import Bundle, Golden
from asd_edge.detector import Detector
from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import EmbeddingModel
from asd_edge.scoring.fit import ViewRule, cross_fit
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.verify import record
from asd_export.to_onnx import to_onnx
from asd_training import presets
from asd_training.network.views import Network
from asd_training.progress import bar
from asd_training.reference_selection import source_centres
from asd_training.synth import MACHINES, SAMPLE_RATE
from asd_training.synth.dataset import write_clip
from asd_training.synth.scene import ClipSpec, render

PRESET = "statistics"
SEED = 0
SECONDS = 10.0
CLIPS = 100  # of each machine: 99 carry the default false-alarm rate of 1 in 100
CENTRES = 8  # of each machine: what fits into the wheel
EXAMPLE = ("fan", 1)  # machine and number of the two test clips in asd_edge/data/examples


def model() -> tuple[bytes, FrontEnd]:
    """Make the ONNX model of time statistics; give it with its front end."""
    preset = presets.load(PRESET)
    return to_onnx(Network(preset), preset.front_end), preset.front_end


def train_clip(machine: str, index: int) -> NDArray[np.int16]:
    """Render one normal clip of a machine that the bundle knows: int16 [shape=(n,)]."""
    spec = ClipSpec(machine, 0, "source", "train", "normal", index)
    return render(spec, SECONDS, SEED)


def example(label: str) -> NDArray[np.int16]:
    """Render an example, "normal" or "anomaly": int16 [shape=(n,)]."""
    machine, index = EXAMPLE
    return render(ClipSpec(machine, 0, "source", "test", label, index), SECONDS, SEED)


def bundle() -> Bundle:
    """Make the default bundle: a section for each synthetic machine."""
    onnx, front_end = model()
    views = presets.load(PRESET).views
    embedder = EmbeddingModel(onnx, front_end, views)
    names, sections, rows = [], [], []
    with bar() as progress:
        task = progress.add_task("Synthesise", total=len(MACHINES) * CLIPS, note="")
        for machine in MACHINES:
            for i in range(CLIPS):
                rows.append(Analysis(train_clip(machine, i), front_end, embedder).embeddings)
                names.append(f"{machine}_{i:04d}")
                sections.append(machine)
                progress.advance(task)
    normals = NormalEmbeddings(
        {view: np.concatenate([row[view] for row in rows]) for view in views},
        np.array(names),
        np.array(sections),
        np.array([""] * len(names)),
    )
    rules = {
        name: ViewRule(
            view.scoring,
            lambda projected, chosen: source_centres(projected, chosen, CENTRES, SEED),
            view.weight,
        )
        for name, view in views.items()
    }
    scorer, calibration = cross_fit(rules, normals)
    detector = Detector(front_end, embedder, scorer, calibration)
    # A second, which is repeated: a tenth of the bytes.
    golden: Golden = record(detector, train_clip(MACHINES[0], 0)[:SAMPLE_RATE], MACHINES[0])
    return Bundle(
        machine="synthetic machines",
        front_end=front_end,
        views=scorer.views,
        calibration=calibration,
        golden=golden,
        model=onnx,
        provenance={
            "made_by": "python -m asd_export.build_default_bundle",
            "preset": PRESET,
            "seed": SEED,
            "clips": len(names),
            "note": "synthetic machines, computed and not recorded: for trying out",
        },
    )


def main() -> None:
    """Write the default bundle and the examples into the source tree."""
    bundle().write(locate.BUILT_IN)
    for name, label in (("normal.flac", "normal"), ("faulty.flac", "anomaly")):
        write_clip(locate.EXAMPLES / name, example(label))


if __name__ == "__main__":
    main()
