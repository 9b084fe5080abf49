"""Where a result comes from: versions, machine, time, and the state of the code."""

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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger("ebayes")

PACKAGES = ("ebayes", "torch", "torchvision", "numpy", "scipy", "h5py", "pydantic", "scikit-learn", "mlxtend")
COMPILED = "yes"  #: a run whose update was one fused kernel; of others it is said why not
WIDTH = 80  #: of a line


def collect(plugins: dict[str, str], device: torch.device) -> dict[str, Any]:
    """Everything about this run that its spec does not say; never fails. plugins: version of each distribution."""
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
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "command": " ".join(sys.argv),
        "git_commit": _commit(),
    }


def _processor() -> str:
    """The processor's name, which Python itself does not know on Linux."""
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
    """The commit of the working folder, with a mark if it has changes; empty where there is none."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def made(how: str, networks: int, dataset: dict[str, Any], digest: str) -> dict[str, Any]:
    """How many networks' update was computed how, and the digest of their data; `merged` adds up several of these."""
    return {"compiled": {how: networks}, "data": {json.dumps(dataset): [digest]}}


def merged(origins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same of a file that is gathered from items, with `networks` of each; warns of different data of one name."""
    compiled: Counter[str] = Counter()
    data: dict[str, list[str]] = {}
    for origin in origins:
        compiled.update(dict.fromkeys(_table(origin, "compiled"), origin["networks"]))
        for spec, digests in _table(origin, "data").items():
            data[spec] = [*dict.fromkeys([*data.get(spec, []), *digests])]
    for name in _named({spec: digests for spec, digests in data.items() if len(digests) > 1}):
        log.warning("networks of one sweep were trained on different data of one name: %s; see its provenance", name)
    return {"compiled": dict(compiled), "data": data}


def since(before: str, now: str) -> str:
    """How an update was computed over interruptions: `yes`, or `yes, then no: --compile off`."""
    return f"{before}, then {now}" if before and before.rsplit(", then ", maxsplit=1)[-1] != now else before or now


def changes(before: dict[str, Any], threads: int, how: str) -> Iterator[str]:
    """What a run that goes on does otherwise than before, in sentences."""
    if before["threads"] != threads:
        yield f"the run had {before['threads']} threads and now has {threads}"
    last = before.get("compiled", how).split(", then ")[-1]
    if last != how:
        yield f"the run was {_compiled({last: 1})} and now is {_compiled({how: 1})}"


def described(record: dict[str, Any]) -> str:
    """The machine that trained a result, and its data, in at most two lines of 80 columns; names no host or folder.

    Whatever an old file does not say is left out, and so is what is not as this program writes it.
    """
    how, known = _compiled(_table(record, "compiled")), _named(_table(record, "data"))
    return "\n".join(line for line in (_machine(record), _listed(how, known)) if line)


def _machine(record: dict[str, Any]) -> str:
    """`trained on AMD EPYC 7B13, 2 threads`; of a sweep that several machines worked at, how many they were."""
    device, threads = record.get("device"), record.get("threads")
    name = record.get("processor") if device == "cpu" else device
    others = len({(item.get("device"), item.get("host")) for item in record.get("items", [])}) - 1
    ends = [f", {threads} thread{'s' * (threads != 1)}"] if threads else []
    ends += [f", and {others} other machine{'s' * (others != 1)}"] if others > 0 else []
    return _cut(f"trained on {name}", WIDTH - len("".join(ends))) + "".join(ends) if name else ""


def _compiled(counts: dict[str, Any]) -> str:
    """How the update was computed, from the numbers of networks by how."""
    if len(counts) > 1:
        return f"compiled for {counts.get(COMPILED, 0)} of {sum(counts.values())} networks"
    (how,) = counts or ("",)
    return {"": "", COMPILED: "compiled"}.get(how, f"compiled: {how}".replace("compiled: no: ", "not compiled: "))


def _named(known: dict[str, Any]) -> list[str]:
    """`mnist 3f2a91c04b7d` for each data set; two digests where different data bear one name."""
    return [f"{_kind(spec)} {' or '.join(digest[:12] for digest in digests)}" for spec, digests in known.items()]


def _kind(spec: str) -> str:
    """The kind in a table of the spec, as JSON; a stranger's file may have any text there."""
    try:
        return str(json.loads(spec)["kind"])
    except (ValueError, TypeError, KeyError):
        return spec


def _table(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _listed(how: str, names: Sequence[str]) -> str:
    """As many of the data sets as the line has room for, and how many more there are."""
    start = "; ".join([how] * bool(how) + ["data: "] * bool(names))
    for shown in range(len(names), 0, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        if len(line := start + ", ".join(names[:shown]) + more) <= WIDTH:
            return line
    return _cut(start + (f"{len(names)} data sets" if len(names) > 1 else "".join(names)), WIDTH)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."
