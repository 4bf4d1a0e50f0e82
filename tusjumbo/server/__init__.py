"""The server that `tusjumbo serve` runs: uvicorn, with our connection class and our way to stop."""
