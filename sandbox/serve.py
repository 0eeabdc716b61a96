"""Serve the service with a local Suno behind it, for a person with a browser: `make sandbox`."""

from __future__ import annotations

import os
import signal
import sys

from sandbox import stack


def main() -> int:
    """Run both until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with stack.suno() as suno, stack.service(suno.url, port=int(os.environ.get("PORT", "3000"))) as service:
            print(f"Swagger UI        {service.url}/docs")
            print(f"The local Suno    {suno.url} (`python -m sandbox --help` lists its songs, accounts and failures)")
            print("No credits are spent. Ctrl-C stops both.", flush=True)
            service.process.wait()
            print(service.logged()[-2000:], file=sys.stderr)
    except stack.NotStartedError as error:
        print(f"Not started: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
