"""Train a depth network with each loss, each with some seeds; runs that are finished are left as they are.

    python -m experiments.depth_losses.train --seeds 0,1,2 trainer.max_steps=1500      # the whole experiment
    python -m experiments.depth_losses.train --only l1,l1_normal --seeds 0 trainer.max_steps=500

Any override of `python -m lit3d.run` is taken. Runs lie in <out>/<variant>_<seed>.
"""

from experiments.depth_losses.variants import VARIANTS
from experiments.runs import train_variants

if __name__ == "__main__":
    variants = {name: ("model=depth", *overrides) for name, overrides in VARIANTS.items()}
    train_variants(variants, "depth_losses", __doc__)
