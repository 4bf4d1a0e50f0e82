"""The command `tusjumbo`: reads settings, runs the server, and looks at what it holds."""

from tusjumbo.cli.app import main

__all__ = ["main"]
