"""How long the campaigns run: `make test` once, `make soak` many times as long."""

from __future__ import annotations

import os

CAMPAIGN = int(os.environ.get("TUSJUMBO_CAMPAIGN", "1"))
"""Multiplier of rounds and examples."""

MIB = 1 << 20
KILLED_SIZE = 256 * MIB if CAMPAIGN == 1 else 1024 * MIB
"""Size of the uploads under which servers are killed."""
