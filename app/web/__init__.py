"""All that knows Flask: the factory, views, schemas, errors, access, telemetry and docs."""
