"""Who may change an upload now: `memory` for one process, `files` for many on one host."""
