"""A split from the request to its stems: paid once, never lost. Nothing here depends on Flask."""
