"""Run by a service's own Python, in its folder: its settings as the environment has them, one JSON object a group."""

import json
import os
import sys

sys.path.insert(0, os.getcwd())  # noqa: PTH109  # the service's folder, before this file's

from app.main import SETTINGS, load_settings

loaded = load_settings()
json.dump({group.group: loaded.of(group).model_dump(mode="json") for group in SETTINGS}, sys.stdout)
