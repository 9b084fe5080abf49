"""What every plugin is: a frozen table of a spec, selected by its `kind`."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import pluggy
from pydantic import BaseModel, ConfigDict

#: of every table in a spec
CLOSED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
hookspec = pluggy.HookspecMarker("ebayes")
hookimpl = pluggy.HookimplMarker("ebayes")


class Plugin(BaseModel, ABC):
    """Base of all plugins: a frozen table of fields with bounds, which forbids unknown fields and is selected by
    `kind`.
    """

    model_config = CLOSED
    slot: ClassVar[str]
    #: what to do if a spec names a kind of this slot that is not registered, after the list of those that are
    advice: ClassVar[str] = ""
    #: fields about files beside a spec: they are read by the engine, and left alone by checks of formulas
    of_files: ClassVar[tuple[str, ...]] = ()
    kind: str

    @classmethod
    def undefined(cls) -> list[str]:
        """The methods that a class still has to define before it can be used."""
        return sorted(cls.__abstractmethods__)
