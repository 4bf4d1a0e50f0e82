"""Heap: keeps the system's allocator from giving back memory that the next piece of a body needs.

A server of somebody else's makes a new object of each piece that it receives. glibc gives back what
is free at the end of the heap whenever it is more than 128 KiB, so each piece would be given new
pages by the kernel, zeroed, and taken away again: that is more work than all that we do with it.

No setting of the process is touched. mallopt(3) says of M_MMAP_THRESHOLD: if a larger block is
freed, the threshold is "adjusted upward to the size of the freed block", and M_TRIM_THRESHOLD to
twice that. So it is enough to have freed one block. Other allocators do not mind.
"""

from __future__ import annotations

_BLOCK = 4 * 1024 * 1024
"""Bytes. Twice as many may be free at the end of the heap and yet be kept."""


def keep_what_is_freed() -> None:
    """To be called once in a process; more often does no harm. It takes microseconds."""
    bytearray(_BLOCK)
