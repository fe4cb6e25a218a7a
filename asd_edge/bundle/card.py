"""The model card of a bundle: data, evaluation, intended use, licence; in its provenance.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. `asd-edge info` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asd_edge.errors import ParameterError

CARD = "card"  # in the provenance
KEYS = ("data", "evaluation", "intended_use", "licence", "contact")
"""What a card may say, each a text."""

NOT_EVALUATED = "not evaluated"
NOT_STATED = "not stated"


def model_card(machine: str, data: str, given: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Make a card.

    Args:
        machine: that the bundle is for.
        data: what it was made of, in words.
        given: texts of KEYS that take the place of what is written here.

    Raises:
        ParameterError: a key that a card does not have, or a value that is no text.
    """
    card = {
        "data": data,
        "evaluation": NOT_EVALUATED,
        "intended_use": (
            f"Says whether a recording of {machine} sounds like the recordings it was made of. For "
            "the same machine, microphone and place; others are to be enrolled. No safety device."
        ),
        "licence": NOT_STATED,
    }
    for key, value in (given or {}).items():
        if key not in KEYS:
            raise ParameterError("key of the card", key, f"one of {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise ParameterError(f"{key} of the card", value, "a text")
        card[key] = value
    return card
