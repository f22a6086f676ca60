"""The local backend: transformers models behind a session engine of our own."""
