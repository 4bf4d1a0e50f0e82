"""What is done with the content of uploads: finished ones, and ones that still arrive."""
