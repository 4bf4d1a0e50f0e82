"""tusjumbo: resumable uploads."""
