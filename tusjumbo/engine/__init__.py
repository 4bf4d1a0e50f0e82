"""Carries out commands against a catalog, a store and a lock. Knows no protocol and no server."""
