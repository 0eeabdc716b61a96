"""The WSGI entry point: `gunicorn wsgi:app` takes its settings from gunicorn.conf.py."""

from environs import EnvError
from gunicorn.errors import AppImportError

from app.web.factory import create_app

try:
    app = create_app()
except EnvError as error:
    # gunicorn logs this in one line, without a traceback, and stops.
    raise AppImportError(f"Not started, because of the environment: {error}") from None
