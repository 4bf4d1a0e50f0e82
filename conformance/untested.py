"""Rows of the specification's list that no case tests, each with the reason."""

UNTESTED = {
    "CONC-17": "whether a server processes a partial upload cannot be seen from outside",
    "CREATE-17": "whether a server refuses some metadata is its own business",
    "HEAD-10": "the same as the rows META",
    "HEAD-11": "the same as DEFER-03",
    "PATCH-25": "the same as CONC-14",
    "TERM-04": "whether storage was freed cannot be seen from outside",
}
