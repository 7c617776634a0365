"""Runs in RefStack's own virtualenv: serves its API. Argument: the port."""

import os
import sys

import pecan.configuration
import waitress
from refstack.api import app

folder = os.path.dirname(app.__file__)
configuration = pecan.configuration.conf_from_file(os.path.join(folder, "config.py"))
waitress.serve(app.setup_app(configuration), host="127.0.0.1", port=int(sys.argv[1]))
