"""From TOML to a validated experiment with all of its networks; all mistakes in it are reported together."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ebayes_core.contract.files import ANALYSES
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import BASES
from ebayes_core.errors import SpecError
from ebayes_core.spec.installed import find
from ebayes_core.spec.members import points, resolved, strictly
from ebayes_core.spec.messages import UNKNOWN, describe
from ebayes_core.spec.models import SLOTS, Parts, compose
from ebayes_core.spec.overrides import Overrides, override
from ebayes_core.storage import text_file

P = TypeVar("P", bound=Parts)
DEEP = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){500}")  # possessive quantifiers: linear time on any text


def load(spec: str | Path, registry: Registry, overrides: Overrides = ()) -> Parts:
    """The experiment of a TOML file or of an installed spec. Raises SpecError that lists every mistake."""
    found = find(spec, registry)
    return loads(found.text, registry, overrides, found.name, found.folder)


def loads(
    text: str, registry: Registry, overrides: Overrides = (), source: str = "spec", folder: str | Path | None = None
) -> Parts:
    """The experiment of a TOML text; overrides are `dotted.field=value`, or values by dotted field.

    source: where the text is from, for messages. folder: where files that the spec names are; that of `source` if left
    out.

    Raises SpecError that lists every mistake.
    """
    try:
        if DEEP.search(text):  # tomllib takes quadratic time on a dotted key of thousands of parts
            raise RecursionError
        table = tomllib.loads(text.removeprefix(text_file.MARK))
    except RecursionError as error:
        raise SpecError([f"{source}: tables or lists are nested too deeply"]) from error
    except ValueError as error:  # not TOML, or an integer of thousands of digits
        raise SpecError([f"{source}: this is not valid TOML: {error}"]) from error
    for slot, kind in SLOTS.items():  # so that a field of an omitted table can be swept or set
        if kind in registry.kinds(slot):
            table.setdefault(slot, {"kind": kind})
    wrong = override(table, overrides)
    if wrong:
        raise SpecError(wrong)
    return _validate(table, registry, source, Path(Path(source).parent if folder is None else folder).absolute())


def _validate(table: dict[str, Any], registry: Registry, source: str, folder: Path) -> Parts:
    """The experiment with its networks; raises every mistake, those of the spec and those of single points of the
    sweep.
    """
    models = compose(registry)
    experiment, mistakes = _read(models.Experiment, table, source, folder)
    rows, _ = _read(Parts, {"name": "rows", "sweep": table.get("sweep", {})}, source)
    if rows is not None:  # the points are checked even if the rest is wrong
        base = {k: v for k, v in table.items() if k in models.Member.model_fields and k != "seed"}
        seeds = experiment.seeds if experiment else (0,)
        members, more = points(base, rows.sweep, seeds, models.Member, source, folder)
        own = set(mistakes)
        mistakes += [text for text in more if text.split(" (at every one of")[0] not in own]
    if mistakes or experiment is None:
        raise _refused(dict.fromkeys(mistakes), registry)
    experiment._members, experiment._folder = members, str(folder)
    return experiment


def _refused(mistakes: Iterable[str], registry: Registry) -> SpecError:
    """The mistakes as an error; if a kind is unknown, with what its slot advises and the plugins that are broken."""
    return SpecError(text + (_about(text) + registry.suspects()) * (f": {UNKNOWN}" in text) for text in mistakes)


def _about(text: str) -> str:
    """The advice of the slot whose table a message names."""
    return next((base.advice for slot, base in BASES.items() if f"[{slot}]" in text or f" {slot}." in text), "")


def _read(model: type[P], table: dict[str, Any], source: str, folder: Path | None = None) -> tuple[P | None, list[str]]:
    """What a table says, or its mistakes. folder: of the files that its analyses name."""
    try:
        return strictly(model, table, folder, ANALYSES), []
    except ValidationError as error:
        return None, [str(mistake) for mistake in describe(error, source, model)]
    except (ValueError, RecursionError) as error:
        raise SpecError([f"{source}: cannot be read: {error}"]) from error


def revived(model: str, table: dict[str, Any], registry: Registry, source: str) -> Any:
    """An `Experiment`, without expanding its sweep, or a `Member`, from its resolved table.

    Raises SpecError, also if one of its plugins is not registered.
    """
    found, mistakes = _read(getattr(compose(registry), model), table, source)
    if found is None:
        raise _refused(mistakes, registry)
    return found


def completed(model: str, table: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """The resolved table of an `Experiment` or a `Member` with the fields that are newer than its file, at their
    defaults.

    As it is if this cannot be told here, because of a plugin or a file that is missing.
    """
    try:
        return resolved(revived(model, table, registry, "spec"))
    except SpecError:
        return table
