"""The two C programs of this room, compiled when first used.

A program is named by the digest of its sources, so that an edited source is compiled again and a
checkout that moves back finds its old program. Knows nothing of servers or workloads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "benchmarks"
"""Default place for compiled programs, installed peers and uploads on disk; not committed."""

_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


class BenchmarkError(Exception):
    """Something that keeps the benchmark from running at all, in one line for a person."""


def compiled(name: str, cache: Path) -> Path:
    """The program made from `name`.c.

    :raises BenchmarkError: there is no C compiler, or it refuses
    """
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in (HERE / f"{name}.c", HERE / "wire.h"):
        digest.update(source.read_bytes())
    program = cache / "bin" / f"{name}-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchmarkError("no C compiler: install one (Debian: apt-get install gcc libc6-dev)")
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, *_FLAGS, "-o", str(fresh), str(HERE / f"{name}.c")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{name}.c does not compile: {done.stderr.strip()[:2000]}")
    fresh.replace(program)
    return program
