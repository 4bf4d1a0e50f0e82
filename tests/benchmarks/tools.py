"""The C programs of this room, compiled when first used.

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
_HEADERS = ("http.h", "wire.h")
_PROGRAMS = {
    "load": ("load.c", "http.c"),
    "sink": ("sink.c",),
    "slowsync": ("slowsync.c", "-shared", "-fPIC"),
}
"""What each is made of: sources, and flags of its own."""


class BenchmarkError(Exception):
    """Something that keeps the benchmark from running at all, in one line for a person."""


def compiled(name: str, cache: Path) -> Path:
    """The program (`load`, `sink`) or library to preload (`slowsync`) of this name.

    :raises BenchmarkError: there is no C compiler, or it refuses
    """
    words = [*_FLAGS, *_PROGRAMS[name]]
    digest = hashlib.sha256(" ".join(words).encode())
    for source in (*(word for word in words if word.endswith(".c")), *_HEADERS):
        digest.update((HERE / source).read_bytes())
    program = cache / "bin" / f"{name}-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchmarkError("no C compiler: install one (Debian: apt-get install gcc libc6-dev)")
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.absolute().with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, *words, "-o", str(fresh)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{name} does not compile: {done.stderr.strip()[:2000]}")
    fresh.replace(program)
    return program
