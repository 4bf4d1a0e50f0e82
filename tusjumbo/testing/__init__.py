"""Contract suites for the ports, as pytest classes: shipped to prove anybody's implementation."""
