"""The C extension; everything else is in pyproject.toml.

The C core is a static library of its own, linked into the binding: its sources are held to
stricter warnings than the C that Cython generates. Files for wider instruction sets name
them in a pragma of their own. Nothing here looks at the machine that builds.

Environment: ASD_EDGE_SANITIZE=address,undefined builds with those sanitizers,
ASD_EDGE_WERROR=1 turns the compiler's warnings about the C core into errors.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HEADERS = sorted(map(str, Path("csrc").glob("*.h")))
SOURCES = sorted(map(str, Path("csrc").glob("*.c")))

# No contraction of a * b + c beyond what the kernels write: a frame gives the same bits in
# every lane, loop and remainder, which "whole == chunked" rests on.
compile_args = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"]
link_args = []
if sanitizers := os.environ.get("ASD_EDGE_SANITIZE"):
    flags = [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    compile_args += flags
    link_args += flags

warnings = ["-Wall", "-Wextra"]
if os.environ.get("ASD_EDGE_WERROR") == "1":
    warnings.append("-Werror")

core = (
    "asd_core",
    {
        "sources": SOURCES,
        "obj_deps": {"": HEADERS},
        "include_dirs": ["csrc"],
        "cflags": [*compile_args, *warnings],
    },
)

binding = Extension(
    "asd_edge._core",
    sources=["csrc/_core.pyx"],
    depends=[*HEADERS, *SOURCES],
    include_dirs=["csrc"],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    libraries=["asd_core", "m"],
)


class BuildCoreFirst(build_ext):
    """`build_ext` alone would link against a core that only `build` makes."""

    def run(self) -> None:
        """Build the core, then the binding."""
        self.run_command("build_clib")
        super().run()


setup(
    cmdclass={"build_ext": BuildCoreFirst},
    libraries=[core],
    ext_modules=cythonize([binding], build_dir="build/cython", language_level=3),
)
