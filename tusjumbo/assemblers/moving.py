"""Moving: where a file goes below `completed`, by a template. Nothing is copied for it.

The store gives the file its name once, makes every component safe for itself, and chooses another
one if it is taken.
"""

from __future__ import annotations

from anyio.lowlevel import checkpoint

from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.templates import Template


class MoveTo:
    """An assembler that says where the file goes, like `{owner}/{date}/{filename}`."""

    def __init__(self, template: str) -> None:
        """
        :raises ConfigurationError: what is no template (`tusjumbo.assemblers.templates`)
        """
        self._template = Template(template)

    async def __call__(self, arrival: Arrival) -> Assembled:
        await checkpoint()
        return Assembled(path=self._template.fill(arrival))
