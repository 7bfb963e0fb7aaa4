"""Train the four heads, each with some seeds, one after the other; runs that are finished are left as they are.

    python -m experiments.two_branch.train --seeds 0,1,2                # the whole experiment
    python -m experiments.two_branch.train --only two_branch --seeds 0 trainer.max_steps=500

Any override of `python -m lit3d.run` is taken. Runs lie in <out>/<head>_<seed>.
"""

from experiments.runs import train_variants
from experiments.two_branch.heads import HEADS

if __name__ == "__main__":
    train_variants(HEADS, "two_branch", __doc__)
