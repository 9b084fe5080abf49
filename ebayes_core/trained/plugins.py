"""The plugins of a network in a results file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ebayes_core.errors import UserError

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry


def plugin(spec: dict[str, Any], slot: str, registry: Registry) -> Any:
    """The plugin in a slot of a network's resolved spec. Raises UserError if its kind is not registered."""
    kind = spec[slot]["kind"]
    if kind not in registry.kinds(slot):
        raise UserError(
            f"the {slot} '{kind}' of this run is not registered here; install the plugin that provides it, or in "
            f"Python open the file with its class, ebayes.open(path, plugins=[...]){registry.suspects()}"
        )
    # as JSON, because a resolved table may contain a list for a tuple
    return registry.composed(registry.kinds(slot)[kind]).model_validate_json(json.dumps(spec[slot]))
