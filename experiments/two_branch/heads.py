"""The four heads, made equally large: one encoder, and fully connected layers wide enough for 6.94 million parameters.

The fully connected head of the default run says how many; what the others lack goes into layers of its kind, so that a
step takes nearly as long as with default widths.
"""

HEADS = {
    "fc": ("model/head=fc", "model.head.hidden=[1024]"),
    "upconv": ("model/head=upconv", "model.head.hidden=[1460,1460]"),
    "two_branch": ("model/head=two_branch", "model.head.hidden=[2438]"),
    "hourglass": ("model/head=hourglass", "model.head.hidden=[1610]"),
}
