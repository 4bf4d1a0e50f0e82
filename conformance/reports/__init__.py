"""A report in five forms: one module each, with a `render` that makes text of a `Report`.

What they say in the same words is in `summary`. Whatever a server sent is hostile here: each form
escapes all of it in its own way. Writing files is the command line's business.
"""
