"""Heads <-> commands. Pure: imports sessions and errors only; knows no server and no store."""
