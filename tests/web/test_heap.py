"""Measured in processes of their own: how malloc behaves depends on all that was freed before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROUNDS, _PIECES, _PIECE = 200, 4, 256 * 1024
_PROGRAM = f"""\
import resource
import sys
import tusjumbo
if len(sys.argv) > 1:
    tusjumbo.TusJumbo(upload_dir=sys.argv[1])
def faults():
    for _ in range({_ROUNDS}):
        pieces = [b"x" * {_PIECE} for _ in range({_PIECES})]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
print(faults() - before)
"""


def _faults(*arguments: str) -> int:
    """Pages that the kernel is asked for while pieces of bodies come and go."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def test_pieces_of_bodies_come_to_lie_where_others_were(tmp_path: Path) -> None:
    pages = _ROUNDS * _PIECES * _PIECE // 4096
    assert _faults() > pages / 4  # or there is nothing to mend here
    assert _faults(str(tmp_path)) < pages / 100
