"""Benchmarks of any number of tus servers against each other: `python -m tests.benchmarks --help`.

They print tables and judge nothing; the tests of this room check that the figures can be trusted,
never that they are good.
"""
