"""Train the deforming network with each objective, each with some seeds; runs that are finished are left as they are.

    python -m experiments.mesh_losses.train --seeds 0,1,2 trainer.max_steps=400      # the whole experiment
    python -m experiments.mesh_losses.train --only cd_full,cd_none --seeds 0 trainer.max_steps=100

Any override of `python -m lit3d.run` is taken. Runs lie in <out>/<variant>_<seed>.
"""

from experiments.mesh_losses.variants import VARIANTS
from experiments.runs import train_variants

if __name__ == "__main__":
    variants = {name: ("model=mesh_deform", *overrides) for name, overrides in VARIANTS.items()}
    train_variants(variants, "mesh_losses", __doc__)
