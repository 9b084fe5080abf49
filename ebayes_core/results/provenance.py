"""Provenance of a result: versions, machine, time, and the state of the code."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

log = logging.getLogger("ebayes")

PACKAGES = ("ebayes", "torch", "torchvision", "numpy", "scipy", "h5py", "pydantic", "scikit-learn", "mlxtend")
COMPILED = "yes"  #: the update was one compiled kernel; any other value says why not
Shapes = tuple[tuple[int, ...], tuple[int, ...]]  #: of the inputs and the outputs of an example
WIDTH = 80  #: width of a line in columns


def collect(plugins: dict[str, str], device: torch.device) -> dict[str, Any]:
    """Everything about this run that its spec does not contain; never fails. plugins: version of each distribution."""
    import torch

    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ebayes_version": _version("ebayes"),
        "torch_version": str(torch.__version__),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "plugins": plugins,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "host": platform.node(),
        "system": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "command": " ".join(sys.argv),
        "git_commit": _commit(),
    }


def processor() -> str:
    """The name of the processor, which Python itself does not provide on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _commit() -> str:
    """The commit of the working folder, marked if it has changes; empty without a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class Made(NamedTuple):
    """The data that networks were trained on: a digest, and the shapes of an example and of its outputs."""

    digest: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def made(how: str, networks: int, dataset: dict[str, Any], data: Made) -> dict[str, Any]:
    """How the update of `networks` networks was computed, and what their data are; `merged` combines several of these.

    With the shapes a network can be taken out of the file where its data are not at hand.
    """
    name, shapes = json.dumps(dataset), {"inputs": list(data.inputs), "outputs": list(data.outputs)}
    return {"compiled": {how: networks}, "data": {name: [data.digest]}, "shapes": {name: shapes}}


def merged(origins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same for a file gathered from items, with `networks` of each; warns if data of one name differ."""
    compiled: Counter[str] = Counter()
    data: dict[str, list[str]] = {}
    shapes: dict[str, Any] = {}
    for origin in origins:
        shapes |= _table(origin, "shapes")
        compiled.update(dict.fromkeys(_table(origin, "compiled"), origin["networks"]))
        for spec, digests in _table(origin, "data").items():
            data[spec] = [*dict.fromkeys([*data.get(spec, []), *digests])]
    for name in _named({spec: digests for spec, digests in data.items() if len(digests) > 1}):
        log.warning("networks of one sweep were trained on different data of one name: %s; see its provenance", name)
    return {"compiled": dict(compiled), "data": data, "shapes": shapes}


def since(before: str, now: str) -> str:
    """How an update was computed across interruptions: `yes`, or `yes, then no: --compile off`."""
    return f"{before}, then {now}" if before and before.rsplit(", then ", maxsplit=1)[-1] != now else before or now


def changes(before: dict[str, Any], threads: int, how: str) -> Iterator[str]:
    """What a resumed run does differently than before, in sentences."""
    if before["threads"] != threads:
        yield f"the run had {before['threads']} threads and now has {threads}"
    last = before.get("compiled", how).split(", then ")[-1]
    if last != how:
        yield f"the run was {_compiled({last: 1})} and now is {_compiled({how: 1})}"


def shapes_of(record: dict[str, Any], dataset: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of an example and of its outputs in a data set; None if the file, perhaps an older one, has none."""
    known = _table(_table(record, "shapes"), json.dumps(dataset))
    found = [known.get(name) for name in ("inputs", "outputs")]
    if not all(isinstance(shape, list) and shape and all(type(n) is int and n > 0 for n in shape) for shape in found):
        return None
    inputs, outputs = (tuple(shape or ()) for shape in found)
    return inputs, outputs


def described(record: dict[str, Any]) -> str:
    """The machine that trained a result, and its data, in at most two lines of 80 columns; no host or folder is named.

    What an old file does not contain is left out, and so is anything not in this program's format.
    """
    how, known = _compiled(_table(record, "compiled")), _named(_table(record, "data"))
    return "\n".join(line for line in (_machine(record), _listed(how, known)) if line)


def _machine(record: dict[str, Any]) -> str:
    """`trained on AMD EPYC 7B13, 2 threads`; for a sweep trained on several machines, also their number."""
    device, threads = record.get("device"), record.get("threads")
    name = record.get("processor") if device == "cpu" else device
    others = len({(item.get("device"), item.get("host")) for item in record.get("items", [])}) - 1
    ends = [f", {threads} thread{'s' * (threads != 1)}"] if threads else []
    ends += [f", and {others} other machine{'s' * (others != 1)}"] if others > 0 else []
    return _cut(f"trained on {name}", WIDTH - len("".join(ends))) + "".join(ends) if name else ""


def _compiled(counts: dict[str, Any]) -> str:
    """How the update was computed, from the number of networks for each way."""
    if len(counts) > 1:
        return f"compiled for {counts.get(COMPILED, 0)} of {sum(counts.values())} networks"
    (how,) = counts or ("",)
    return {"": "", COMPILED: "compiled"}.get(how, f"compiled: {how}".replace("compiled: no: ", "not compiled: "))


def _named(known: dict[str, Any]) -> list[str]:
    """`mnist 3f2a91c04b7d` for each data set; two digests if different data have the same name."""
    return [f"{_kind(spec)} {' or '.join(digest[:12] for digest in digests)}" for spec, digests in known.items()]


def _kind(spec: str) -> str:
    """The kind in a table of the spec, as JSON; an untrusted file may contain any text there."""
    try:
        return str(json.loads(spec)["kind"])
    except (ValueError, TypeError, KeyError):
        return spec


def _table(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _listed(how: str, names: Sequence[str]) -> str:
    """As many of the data sets as fit into the line, and how many more there are."""
    start = "; ".join([how] * bool(how) + ["data: "] * bool(names))
    for shown in range(len(names), 0, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        if len(line := start + ", ".join(names[:shown]) + more) <= WIDTH:
            return line
    return _cut(start + (f"{len(names)} data sets" if len(names) > 1 else "".join(names)), WIDTH)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."
