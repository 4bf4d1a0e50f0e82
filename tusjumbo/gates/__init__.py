"""Gates: who may do what, ready-made and to be combined."""
