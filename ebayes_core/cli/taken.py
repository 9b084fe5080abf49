"""Commands that take trained networks out of a results file: export and predict."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ebayes_core.cli.common import located, registry_of, result_file, without
from ebayes_core.console.output import say
from ebayes_core.errors import UserError

member_ = click.option(
    "--member", type=int, metavar="N", help="The network, counted from 0; needed if there are several."
)


@click.command()
@result_file
@click.option(
    "--member", type=int, metavar="N",
    help="The network, counted from 0; needed for a network if there are several. Tables without it hold all.",
)  # fmt: skip
@click.option(
    "--to", "to", required=True, type=click.Path(dir_okay=False), metavar="FILE",
    help="net.pt, net.onnx, members.csv, synapses.csv, or .parquet in place of .csv; record.h5.",
)  # fmt: skip
@click.option("--no-curves", is_flag=True, help="Write a record without its curves, large after thousands of epochs.")
@without
def export(file: str, member: int | None, to: str, no_curves: bool, without: tuple[str, ...]) -> None:
    """Write a network or a table of RESULTS in a format of other programs, or its record, as --to says by its ending.

    net.pt is the state_dict of a network with its mean weights, which a plain PyTorch model of the same layers loads;
    net.onnx is that network for ONNX. members.csv has a row for each network, synapses.csv a row for each synapse.
    record.h5 is the results file without its synapses: all that figures, statistics and claims are computed from.
    """
    from ebayes_core.results.reader import Run
    from ebayes_core.trained import exporting

    target = Path(to)
    exporting.check_target(target)
    registry = registry_of(without)
    with Run(located(file, registry)) as run:
        exporting.export(run, target, registry, member, curves=not no_curves)
    say(target)


@click.command()
@result_file
@click.argument("inputs", metavar="[INPUTS]", required=False, type=click.Path())
@member_
@click.option(
    "--samples", type=click.IntRange(min=2), default=20, show_default=True, help="Number of sampled networks."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of their noise.")
@click.option(
    "--to", "to", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write to this file, .csv or .npz.  [default: CSV on standard output]",
)  # fmt: skip
@without
def predict(
    file: str, inputs: str | None, member: int | None, samples: int, seed: int, to: str | None,
    without: tuple[str, ...],
) -> None:  # fmt: skip
    """Predict INPUTS with a network of RESULTS, averaged over sampled networks, and tell what is uncertain.

    INPUTS is an npz file with an array x, an npy file, or a CSV file with the names of the columns, of inputs as they
    were before training scaled them; without it, the test set is predicted.
    """
    if to and Path(to).suffix.lower() not in (".csv", ".npz"):
        raise UserError(f"{to}: predictions are written to files ending in .csv or .npz")
    from ebayes_core.results.reader import Run
    from ebayes_core.trained import exporting
    from ebayes_core.trained import inputs as files
    from ebayes_core.trained.predicting import predict as predicted

    registry = registry_of(without)
    x = None if inputs is None else files.inputs(Path(inputs))
    with Run(located(file, registry)) as run:
        chosen = exporting.the_only(run, member)
        found = predicted(run, x, chosen, registry, samples, seed)
    if to is None:
        click.echo(found.frame().to_csv(), nl=False)
    else:
        exporting.write_prediction(found, Path(to))
        say(to)
