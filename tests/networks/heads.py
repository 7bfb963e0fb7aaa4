"""Every head of point sets, small."""

from functools import partial

from lit3d.networks import FullyConnectedHead, HourglassHead, RefinedHead, TwoBranchHead, UpconvolutionHead

HEADS = {
    "fc": partial(FullyConnectedHead, hidden=(16,)),
    "upconv": UpconvolutionHead,
    "upconv with a bottleneck": partial(UpconvolutionHead, hidden=(16, 20)),
    "two_branch": partial(TwoBranchHead, hidden=(16,)),
    "hourglass": partial(HourglassHead, hidden=(16,)),
    "two hourglasses": partial(HourglassHead, hidden=(16,), repeats=2),
    "refined": partial(RefinedHead, hidden=(16,), channels=16),
}
