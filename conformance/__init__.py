"""A black-box conformance suite for tus 1.0 servers: `python -m conformance http://host/files/`.

It needs nothing of a server but the address of its creation endpoint, and imports nothing of
tusjumbo. See README.md in this directory.
"""

__version__ = "1.0.0"
