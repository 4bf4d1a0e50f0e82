"""The web room: HTTP on one side, commands and outcomes on the other."""
