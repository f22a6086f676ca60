"""Tokenizers and chat templates, as local and remote models use them."""
