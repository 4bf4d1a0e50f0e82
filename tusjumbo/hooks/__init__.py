"""Hooks: whom the application around has asked to be asked and told, and how they are reached."""
