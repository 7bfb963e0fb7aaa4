"""Recognition by classes of shapes: k typical shapes of the training set, and a classifier from image to shape."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit3d.callbacks.kept import kept, of_rows
from lit3d.callbacks.pictures import SIDE, pictures
from lit3d.metrics import reference
from lit3d.ops.neighbours import nearest

BASIS = 256  # fixed points whose distances to a shape describe it
DESCRIBED = 256  # points of the shape that they are measured to
MEMBERS = 16  # views, at least, that a cluster has on average
POOLED = 1024  # points that each member gives to the mean of its cluster
ROUNDS = 15  # of k-means
HIDDEN, BATCH = 256, 128  # of the classifier
EPOCHS, STEPS = 10, 300  # what it is trained for, whichever is longer: small sets have few steps an epoch


class Clusters:
    """Row *clustering* (after Tatarchenko et al. 2019): the mean shape of the cluster an image falls into.

    Training *views* are clustered, as their shapes lie in the target frame, by k-means on their distances to fixed
    points (basis point sets, Prokudin et al. 2019). The mean of a cluster is a draw from the union of its members. A
    perceptron of one hidden layer learns the cluster from 16 x 16 averages of the training pictures. All of it is kept
    beside the dataset.

    Args:
        data: a data module that is set up.
        points: n of the mean shapes.
        clusters: k at most; small sets get fewer, so that a cluster has about `MEMBERS` views.
    """

    def __init__(self, data: Any, points: int, clusters: int) -> None:
        self.data = data
        train = data.dataset("train", keys=("points",), points=min(POOLED, data.opened.point_count))
        k = max(1, min(clusters, len(train.rows) // MEMBERS))
        depends = {"train": of_rows(train.rows), "frame": data.frame, "points": points, "clusters": k}

        def find() -> dict[str, np.ndarray]:
            shapes = torch.stack([train.truth(i) for i in range(len(train))])
            labels = assign(describe(shapes), k)
            weights = fit(pictures(data.opened, train.rows), labels).state_dict()
            return {"shapes": means(shapes, labels, points).numpy()} | {n: w.numpy() for n, w in weights.items()}

        found = {name: torch.from_numpy(array) for name, array in kept(data, "clusters", depends, find).items()}
        self.shapes = found.pop("shapes")
        self.classifier = perceptron(len(self.shapes)).eval()
        self.classifier.load_state_dict(found)

    def points(self, batch: Mapping[str, Any]) -> Float[Tensor, "b n 3"]:
        """The mean shape of the cluster that each picture of a batch is put into."""
        rows = list(zip(batch["object"], batch["view"].tolist(), strict=True))
        with torch.no_grad():
            chosen = self.classifier(pictures(self.data.opened, rows)).argmax(1)
        return self.shapes[chosen].to(batch["points"])


def describe(shapes: Float[Tensor, "v m 3"]) -> Float[Tensor, "v d"]:
    """Distance of each of `BASIS` fixed points to the nearest point of each shape."""
    every = basis().to(shapes).expand(len(shapes), -1, -1).contiguous()
    return nearest(every, shapes[:, :DESCRIBED].contiguous())[0].sqrt()


def basis() -> Float[Tensor, "d 3"]:
    """Random points, always the same, in a ball of radius 0.6: most of an object of longest side 1 lies inside."""
    cube = torch.rand(8 * BASIS, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return cube[cube.norm(dim=1) < 1][:BASIS] * 0.6


def assign(descriptions: Float[Tensor, "v d"], k: int) -> Int[Tensor, " v"]:
    """A cluster number from 0 without gaps for each view: Lloyd's k-means from k of the views."""
    if k == 1:
        return torch.zeros(len(descriptions), dtype=torch.long)
    start = descriptions[torch.randperm(len(descriptions), generator=torch.Generator().manual_seed(0))[:k]].numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it drops out below
        _, labels = kmeans2(descriptions.numpy(), start, iter=ROUNDS, minit="matrix")
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1]).long()


def means(shapes: Float[Tensor, "v m 3"], labels: Int[Tensor, " v"], points: int) -> Float[Tensor, "k n 3"]:
    """For each cluster n random points of its members' union: what `reference.mean_shape` starts from, in no time."""
    generator = torch.Generator().manual_seed(0)
    k = int(labels.max()) + 1
    return torch.stack([reference.union(shapes[labels == c], points, generator) for c in range(k)])


def perceptron(classes: int) -> nn.Sequential:
    """Standardised pictures -> one hidden layer -> classes."""
    size = 3 * SIDE**2
    standard = nn.BatchNorm1d(size, momentum=None)
    return nn.Sequential(standard, nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))


def fit(images: Float[Tensor, "v d"], labels: Int[Tensor, " v"]) -> nn.Sequential:
    """The classifier after some epochs of AdamW, in evaluation mode: the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = perceptron(int(labels.max()) + 1)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    epochs = max(EPOCHS, -(-STEPS // -(-len(images) // BATCH)))
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=generator).split(BATCH):
            if len(chosen) > 1:  # one picture has no variance to standardise by
                optimizer.zero_grad()
                cross_entropy(network(images[chosen]), labels[chosen]).backward()
                optimizer.step()
    return network.eval()
