"""The Jumbo session model: what an upload is, and the rule that says what may happen to it.

Pure: no async, no input or output, no clock, no HTTP words. Everything else imports this; this
imports the standard library and `tusjumbo.errors` only.
"""
