"""The bundle's format: what it holds, writing it (`contents`) and reading it (`reading`)."""

from asd_edge.bundle.contents import (
    FILES,
    GOLDEN,
    MANIFEST,
    MODEL,
    PARTS,
    REFERENCES,
    SCHEMA_VERSION,
    Bundle,
    Golden,
)
from asd_edge.bundle.reading import read_bundle

__all__ = [
    "FILES",
    "GOLDEN",
    "MANIFEST",
    "MODEL",
    "PARTS",
    "REFERENCES",
    "SCHEMA_VERSION",
    "Bundle",
    "Golden",
    "read_bundle",
]
