"""Draw the optimisation of several losses side by side as an animated GIF, from the frames that runs keep.

python -m experiments.mean_shape.animate multirun/<sweep> --families circle corners --losses emd cd
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.mean_shape.sets import Result, first_of_each, read
from lit3d.callbacks.mean_shape_picture import flat, frame
from lit3d.errors import UserError

HERE = Path(__file__).parent
SIDE, GAP, HEAD, OVER = 210, 8, 24, 2  # pixels; drawn OVER times as large, then reduced
MEMBER, RESULT, INK = (120, 150, 190), (194, 65, 12), (60, 60, 60)
PACE, REST = 50, 1800  # milliseconds a frame, and the last one


def panel(sets: Sequence[np.ndarray], square: tuple[float, float, float], colour: tuple[int, int, int]) -> Image.Image:
    """Point sets as dots in a square picture."""
    picture = Image.new("RGB", (SIDE * OVER, SIDE * OVER), "white")
    pen, (x, y, half), r = ImageDraw.Draw(picture), square, 1.7 * OVER
    for points in sets:
        place = (flat(points) - (x, y)) * (1, -1) / (2 * half) + 0.5
        for u, v in place * SIDE * OVER:
            pen.ellipse((u - r, v - r, u + r, v + r), fill=colour)
    pen.rectangle((0, 0, SIDE * OVER - 1, SIDE * OVER - 1), outline=(221, 221, 221))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def animation(rows: Sequence[Sequence[Result]], losses: Sequence[str]) -> list[Image.Image]:
    """One picture a frame: a row a family, its members first, then a set a loss."""
    size = ((SIDE + GAP) * (1 + len(losses)) + GAP, HEAD + (SIDE + GAP) * len(rows))
    squares = [frame(row[0].members, *(result.points for result in row)) for row in rows]
    still = [panel(list(row[0].members), square, MEMBER) for row, square in zip(rows, squares, strict=True)]
    ways = [[result.frames() for result in row] for row in rows]
    font, pictures = ImageFont.load_default(13), []
    for k in range(min(len(steps) for way in ways for steps, _ in way)):
        sheet = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(sheet)
        heads = ["samples", *(f"{loss}, step {ways[0][0][0][k]}" for loss in losses)]
        for c, text in enumerate(heads):
            pen.text((GAP + c * (SIDE + GAP) + SIDE / 2, HEAD / 2), text, INK, font, anchor="mm")
        for r, (way, square) in enumerate(zip(ways, squares, strict=True)):
            top = HEAD + r * (SIDE + GAP)
            sheet.paste(still[r], (GAP, top))
            for c, (_, sets) in enumerate(way, start=1):
                sheet.paste(panel([sets[k]], square, RESULT), (GAP + c * (SIDE + GAP), top))
        pictures.append(sheet.quantize(24, dither=Image.Dither.NONE))
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("runs", nargs="+", help="run folders or sweeps")
    parser.add_argument("--families", nargs="+", default=["circle", "corners"])
    parser.add_argument("--losses", nargs="+", default=["emd", "cd"])
    parser.add_argument("--out", type=Path, default=HERE / "optimisation.gif")
    arguments = parser.parse_args()
    found = first_of_each(read(arguments.runs))
    if missing := [(f, k) for f in arguments.families for k in arguments.losses if (f, k) not in found]:
        raise SystemExit(f"these runs lack {missing}: run data/family={missing[0][0]} loss={missing[0][1]}")
    try:
        pictures = animation([[found[f, k] for k in arguments.losses] for f in arguments.families], arguments.losses)
    except UserError as error:
        raise SystemExit(str(error)) from None
    times = [PACE] * (len(pictures) - 1) + [REST]
    pictures[0].save(arguments.out, save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True)
    print(f"{arguments.out}: {len(pictures)} frames, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
