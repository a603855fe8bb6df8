"""Picks the C files of the system that is built for; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent))
from native_sources import compile_args, libraries, link_args, platform_of, sources

target = platform_of(sys.platform)

setup(
    ext_modules=[
        Extension(
            "strongroom._native",
            ["src/strongroom/_native.pyx", *sources(target)],
            include_dirs=["src/strongroom"],
            extra_compile_args=compile_args(target),
            extra_link_args=link_args(target),
            libraries=libraries(target),
            depends=[path.as_posix() for path in sorted(Path("src/strongroom").glob("native/*.[hp]*"))],
        )
    ]
)
