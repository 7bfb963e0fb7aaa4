import csv
import json

import numpy as np
import pytest


@pytest.fixture
def write_run():
    """Makes run folders with the scores that a test wants."""

    def write(folder, scores):
        """A run whose test views have these scores: {score: {object: one number a view}}."""
        folder.mkdir(parents=True)
        test = {
            score: float(np.mean([v for views in found.values() for v in views])) for score, found in scores.items()
        }
        (folder / "results.json").write_text(json.dumps({"test": test}))
        with (folder / "per_sample.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["split", "object", *scores])
            writer.writeheader()
            for name, views in next(iter(scores.values())).items():
                for i in range(len(views)):
                    row = {"split": "test", "object": name} | {s: found[name][i] for s, found in scores.items()}
                    writer.writerow(row)
                writer.writerow({"split": "val", "object": name} | dict.fromkeys(scores, 1e6))

    return write
