"""The specs that can be run by name, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ebayes_core.api.plugins import registry_of
from ebayes_core.spec import installed

if TYPE_CHECKING:
    import pandas as pd


def specs(plugins: Iterable[Any] = ()) -> pd.DataFrame:
    """The installed specs, which `load` and `run` find by name: name (index), description, distribution.

    plugins: modules or objects that are not installed and whose hook `ebayes_specs` returns further folders of specs.
    Raises PluginError for one that breaks the contract.
    """
    import pandas as pd

    found = installed(registry_of(plugins))
    columns = {
        "description": [spec.description for spec in found],
        "distribution": [spec.distribution for spec in found],
    }
    return pd.DataFrame(columns, index=pd.Index([spec.name for spec in found], name="name"))
