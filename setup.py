"""The C extension; everything else is in pyproject.toml.

The C core is a static library, linked into the binding: its sources are held to stricter
warnings than the C that Cython generates. Each file of csrc/kernels names its instruction set
in a pragma. Nothing here depends on the machine that builds.

Environment: ASD_EDGE_SANITIZE=address,undefined builds with those sanitizers and with the
core's assertions, ASD_EDGE_WERROR=1 turns the compiler's warnings about the C core into errors.
"""

import os
from pathlib import Path

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# pip builds with what pyproject.toml asks for; a build without isolation takes what is installed,
# and an older setuptools would stop at `project.license`, with a message that does not help.
if int(setuptools.__version__.split(".")[0]) < 77:
    raise SystemExit(
        f"asd-edge needs setuptools 77 or newer to build; this is {setuptools.__version__}. "
        "Let pip build in isolation, or run: pip install --upgrade 'setuptools>=77' 'cython>=3.1'"
    )

from Cython.Build import cythonize

HEADERS = sorted(map(str, Path("csrc").rglob("*.h")))
SOURCES = sorted(map(str, Path("csrc").rglob("*.c")))

# The compiler must not contract a * b + c where the kernels do not say so: a frame must have the
# same bits in every lane, loop and remainder, or streams would differ from whole clips.
compile_args = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"]
link_args = []
if sanitizers := os.environ.get("ASD_EDGE_SANITIZE"):
    flags = [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    compile_args += [*flags, "-UNDEBUG"]
    link_args += flags
else:
    compile_args.append("-DNDEBUG")

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
    # One wheel for Python 3.11 and newer: 0.2 to 0.6 us a call, of the 8.6 us that a frame takes.
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    py_limited_api=True,
)


class BuildCoreFirst(build_ext):
    """`build_ext` alone would link against a core that only `build` makes."""

    def run(self) -> None:
        """Build the core, then the binding, in the place of an earlier one."""
        # One Python's own build is found before the stable one; a stale one must not be.
        if self.inplace or self.editable_mode:
            for built_before in Path("asd_edge").glob("_core.*.so"):
                built_before.unlink()
        self.run_command("build_clib")
        super().run()


setup(
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    cmdclass={"build_ext": BuildCoreFirst},
    libraries=[core],
    ext_modules=cythonize([binding], build_dir="build/cython", language_level=3),
)
