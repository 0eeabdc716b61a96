"""A small service in front of Suno: it turns songs into their stems."""
