"""Lanes: the chunks of an upload, each of which can be held by somebody else.

A lane is a chunk's number; None is the whole upload. All rooms of this package ask here who is in
whose way.
"""

from __future__ import annotations

from collections.abc import Collection


def in_the_way(lane: int | None, lanes: Collection[int | None]) -> bool:
    """Whether one of `lanes` keeps `lane` from being held."""
    if lane is None:
        return bool(lanes)
    return lane in lanes or None in lanes
