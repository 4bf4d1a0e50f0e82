"""Where the bytes of uploads go."""
