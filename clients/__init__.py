"""Programs that use the service by its HTTP API."""
