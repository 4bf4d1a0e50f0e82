"""Tests of the server: on the real wire, with small apps."""
