"""Statistics: figures about all uploads of an installation, for people and for alarms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts of uploads, sizes in bytes. Days and weeks begin when the asker says."""

    active: int
    """Open now."""
    active_bytes: int
    """The lengths of these together, as far as they are known."""
    started_today: int
    started_this_week: int
    finished_today: int
    finished_this_week: int
    bytes_this_week: int
    """The lengths of those that were finished this week."""
    seconds_this_week: float
    """How long these took from their creation to their end, together."""

    @property
    def average_speed(self) -> float:
        """Bytes per second over the uploads that were finished this week; 0 if there are none."""
        return self.bytes_this_week / self.seconds_this_week if self.seconds_this_week else 0.0
