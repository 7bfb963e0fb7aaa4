"""The one source of randomness in modules and losses: a function of the step, never of what was drawn before."""

import hashlib

import torch


def generator(seed: int, step: int, rank: int, purpose: str) -> torch.Generator:
    """A generator on the CPU, where all devices agree, for one purpose in one step.

    A resumed run draws what the whole run drew, and a further draw elsewhere changes nothing here.

    Args:
        seed: the run's seed.
        step: optimiser steps done.
        rank: number of the process, so that each draws its own.
        purpose: a name, such as "noise".
    """
    text = f"{seed}/{step}/{rank}/{purpose}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
    return torch.Generator().manual_seed(number)
