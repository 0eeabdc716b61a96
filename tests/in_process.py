"""A client of an app in the test's own process, without sockets between them."""

from __future__ import annotations

import io
from typing import Any

import requests
from flask import Flask

from tests.conftest import Client


class InProcess(Client):
    """Calls an app. For what does not depend on gunicorn or gevent: it saves the start of a service."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.headers = {}

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        given = self.app.test_client(use_cookies=False).open(path, method=method, **options)
        response = requests.Response()
        response.status_code, response.encoding = given.status_code, "utf-8"
        response.headers.update(dict(given.headers))
        response.raw = io.BytesIO(given.data)
        return response
