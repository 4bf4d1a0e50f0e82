"""Process: what a process may do to itself that does nothing but serve.

None of it is for applications that we are mounted in: there the process is somebody else's.
"""

from __future__ import annotations

import gc
from contextlib import suppress

FILES = 65536
"""How many files a process may have open, if the system lets it."""
GARBAGE = 10_000
"""How many more objects there are when the collector looks for such as keep each other."""


def allow_files() -> None:
    """Let this process and its workers open as many files as they may, up to FILES.

    An upload in progress needs three, and 1,024 is what systems allow to who does not ask: a limit
    that is there for `select`, which is not used here.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def keep_what_is_loaded() -> None:
    """Have the garbage collector pass by what there is now, and come less often.

    A request makes some hundred objects, and nearly all of them go with it. To go through all
    modules time and again, to find what does not, is up to a quarter of the work of small uploads.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
