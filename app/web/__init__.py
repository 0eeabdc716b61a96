"""Everything that depends on Flask: factory, views, schemas, errors, access, telemetry and docs."""
