"""Arrays of an .npz file from a source that is not trusted.

Sizes, types and shapes are checked before anything is allocated: an archive of some megabytes can
otherwise claim gigabytes. Nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 1 << 27  # of all arrays of an archive: 30,000 references of 1,000 dimensions
_MAX_ARRAYS = 64
_MAX_HEADER = 4096
_KINDS = "fiuU"  # floats, integers and text


def arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Give the arrays of an .npz file by name.

    Raises:
        ValueError: too large, of another type, or damaged; zipfile's own errors likewise.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > _MAX_ARRAYS:
            raise ValueError(f"holds {len(members)} arrays, more than {_MAX_ARRAYS}")
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError(f"holds more than {MAX_BYTES >> 20} MB")
        return {
            member.filename.removesuffix(".npy"): _array(archive.read(member), member.filename)
            for member in members
        }


def _array(content: bytes, name: str) -> NDArray[Any]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER)
    elif version == (2, 0):
        header = np.lib.format.read_array_header_2_0(file, max_header_size=_MAX_HEADER)
    else:
        raise ValueError(f"{name} has the array format {version}")
    shape, fortran_order, dtype = header
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects, which are refused (allow_pickle=False)")
    if dtype.kind not in _KINDS:
        raise ValueError(f"{name} has the type {dtype}")
    size = math.prod(shape)
    if size < 0 or size * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{name} has the shape {shape}, which is not what it holds")
    # A copy is aligned and can be written to, as callers expect of an array.
    y = np.frombuffer(content, dtype, size, file.tell()).copy() if size else np.empty(0, dtype)
    return y.reshape(shape, order="F" if fortran_order else "C")
