"""Serve the service with a local Suno behind it, for a person with a browser: `make sandbox`."""

from __future__ import annotations

import os
import sys

from sandbox import stack


def main() -> int:
    """Run both until interrupted."""
    port = int(os.environ.get("PORT", "3000"))
    with stack.suno() as suno, stack.service(suno.url, port=port) as service:
        print(f"Swagger UI        {service.url}/docs")
        print(f"The local Suno    {suno.url} (`python -m sandbox --help` lists its songs, accounts and failures)")
        print("No credits are spent. Ctrl-C stops both.", flush=True)
        try:
            service.process.wait()
        except KeyboardInterrupt:
            return 0
    print(service.logged()[-2000:], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
