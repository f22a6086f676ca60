"""`collab validate`: checks a configuration with its models connected, and estimates its gain."""
