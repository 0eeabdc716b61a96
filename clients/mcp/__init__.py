"""The tools of this service for a model (MCP over stdio). They use only the HTTP API."""
