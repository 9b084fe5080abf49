"""Specs: one TOML file says everything about an experiment, and is validated in full or rejected.

Imports `contract`, `results`, `storage` and the two modules at the top. The rest of the program uses the names below.
"""

from ebayes_core.spec.installed import Installed, Source, find, installed, named
from ebayes_core.spec.members import Point, resolved
from ebayes_core.spec.models import SLOTS, Measurement, Models, Parts, Training, compose
from ebayes_core.spec.reading import load, loads, revived
from ebayes_core.spec.writing import digest, dumps, json_schema, schema_text

__all__ = [
    "SLOTS", "Installed", "Measurement", "Models", "Parts", "Point", "Source", "Training", "compose", "digest", "dumps",
    "find", "installed", "json_schema", "load", "loads", "named", "resolved", "revived", "schema_text",
]  # fmt: skip
