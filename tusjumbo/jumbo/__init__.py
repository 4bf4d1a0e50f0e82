"""Jumbo in Python: the seed's class, and its asynchronous twin."""
