"""The C extension; everything else is in pyproject.toml.

Environment: ASD_EDGE_SANITIZE=address,undefined builds with those sanitizers,
ASD_EDGE_WERROR=1 turns the compiler's warnings into errors.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

compile_args = ["-std=c11", "-O3", "-Wall", "-Wextra"]
link_args = []
if os.environ.get("ASD_EDGE_WERROR") == "1":
    compile_args.append("-Werror")
if sanitizers := os.environ.get("ASD_EDGE_SANITIZE"):
    flags = [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    compile_args += flags
    link_args += flags

extension = Extension(
    "asd_edge._melspec",
    sources=["csrc/_melspec.pyx", "csrc/melspec.c", "csrc/rfft.c"],
    depends=["csrc/melspec.h", "csrc/rfft.h"],
    include_dirs=["csrc"],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    libraries=["m"],
)

setup(ext_modules=cythonize([extension], build_dir="build/cython", language_level=3))
