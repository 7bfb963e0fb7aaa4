"""Ordinary and hostile pairs of point sets that benchmarks of set distances share."""

from collections.abc import Callable

import numpy as np
import torch


def sphere(r: np.random.Generator, n: int) -> np.ndarray:
    points = r.normal(size=(n, 3))
    return 0.5 * points / np.linalg.norm(points, axis=1, keepdims=True)


def few(r: np.random.Generator, n: int, k: int) -> np.ndarray:
    return sphere(r, k)[r.integers(0, k, n)]


def line(r: np.random.Generator, n: int, noise: float) -> np.ndarray:
    return r.uniform(size=(n, 1)) * [0.6, 0.5, 0.62] + r.normal(0, 1, (n, 3)) * noise


def lattice(n: int) -> np.ndarray:
    side = int(np.ceil(n ** (1 / 3)))
    return np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n] / side


def clusters(r: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = 0.2 * sphere(r, n), 0.2 * sphere(r, n)
    x[: n // 4] += 1
    y[: 3 * n // 4] += 1
    return x, y


def outliers(r: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = sphere(r, n)
    x[: n // 50] *= 20
    return x, sphere(r, n)


def moved(r: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    y = sphere(r, n)
    return y[r.permutation(n)] + r.normal(0, 0.005, (n, 3)), y


KINDS: dict[str, Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]] = {
    "two samples": lambda r, n: (sphere(r, n), sphere(r, n)),
    "trained": lambda r, n: (sphere(r, n) + r.normal(0, 0.02, (n, 3)), sphere(r, n)),  # noise on a new sample
    "uniform": lambda r, n: (r.uniform(size=(n, 3)), r.uniform(size=(n, 3))),
    "untrained": lambda r, n: (r.normal(0, 0.02, (n, 3)), sphere(r, n)),  # a blob at the centre
    "near identity": moved,
    "one point": lambda r, n: (np.zeros((n, 3)), sphere(r, n)),
    "duplicates": lambda r, n: (few(r, n, n // 8), few(r, n, n // 8)),
    "16 distinct": lambda r, n: (few(r, n, 16), sphere(r, n)),
    "far and small": lambda r, n: (0.01 * sphere(r, n) + 50, 0.01 * sphere(r, n)),
    "clusters": clusters,  # of unequal mass
    "lattice": lambda r, n: (lattice(n), lattice(n)[r.permutation(n)] + [0.5 / np.ceil(n ** (1 / 3)), 0, 0]),
    "line": lambda r, n: (line(r, n, 0), line(r, n, 0)),
    "nearly a line": lambda r, n: (line(r, n, 1e-6), line(r, n, 1e-6)),
    "thin": lambda r, n: (line(r, n, 1e-4), line(r, n, 1e-4)),
    "nearly a plane": lambda r, n: tuple(r.uniform(size=(n, 3)) * [1, 1, 1e-4] for _ in range(2)),
    "outliers": outliers,
}


def pairs_of(kind: str, n: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = [KINDS[kind](np.random.default_rng([n, b]), n) for b in range(batch)]
    x, y = zip(*made, strict=True)
    return torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y))
