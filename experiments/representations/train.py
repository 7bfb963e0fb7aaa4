"""Train every representation, each with some seeds; runs that are finished are left as they are.

    python -m experiments.representations.train --seeds 0,1,2 trainer.max_steps=1500     # the same number of steps
    python -m experiments.representations.train --seeds 0,1,2 --seconds 240 --out outputs/representations_time

Any override of `python -m lit3d.run` is taken. Runs lie in <out>/<variant>_<seed>; --seconds measures a few steps of
each representation first and keeps their pace in <out>/pace.json.
"""

from collections.abc import Sequence

from experiments.representations.pace import in_seconds
from experiments.representations.variants import VARIANTS
from experiments.runs import train_chosen, variant_parser


def main(given: Sequence[str] | None = None) -> None:
    """The command, with arguments of its own or the command line's."""
    parser = variant_parser(VARIANTS, "representations", __doc__)
    parser.add_argument("--seconds", type=float, help="of training for each, in place of trainer.max_steps")
    arguments = parser.parse_intermixed_args(given)
    variants = VARIANTS
    if arguments.seconds is not None:
        if arguments.seconds <= 0 or any(o.startswith("trainer.max_steps=") for o in arguments.overrides):
            parser.error("--seconds must be above 0, and takes the place of trainer.max_steps: give one of them")
        chosen = {name: VARIANTS[name] for name in arguments.only}
        variants = in_seconds(chosen, arguments.seconds, arguments.overrides, arguments.out)
    train_chosen(variants, "representations", arguments)


if __name__ == "__main__":
    main()
