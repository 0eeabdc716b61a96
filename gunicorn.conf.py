"""gunicorn's settings, from app/settings.py. Its own hooks and classes are in app/serving.py."""

import sys

from environs import EnvError

from app import serving
from app.settings import remembered, reread_settings

try:
    # Also at each reload (SIGHUP): if a file is wrong then, the old settings stay in force.
    settings = reread_settings()
except EnvError as error:
    sys.exit(f"Not started, because of the environment: {error}")
serving.say_complaint(remembered.complaint)

wsgi_app = "wsgi:app"
worker_class = serving.Worker
logger_class = serving.Log
bind = settings.bind
workers = settings.workers
graceful_timeout = settings.graceful_timeout
# Longer than load balancers usually keep an idle connection (60 s): it must not close just as a request comes.
keepalive = 75
# A browser's whole Cookie header may be sent as X-Suno-Cookie: the default of 8190 bytes is too short for some.
limit_request_field_size = 16_380
control_socket_disable = True

when_ready = serving.when_ready
on_reload = serving.on_reload
pre_fork = serving.pre_fork
post_worker_init = serving.post_worker_init
child_exit = serving.child_exit
