"""Where sessions are recorded."""
