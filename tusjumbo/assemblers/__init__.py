"""Assemblers: what may be done with an upload that has arrived, ready-made and to be combined."""
