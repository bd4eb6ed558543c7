"""Sample images for the demo: small drawings of three flowers, in nested folders whose file names repeat."""

import math
import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Flower:
    """How a flower is drawn.

    Attributes:
        petals: How many petals it has.
        colour: The petals' colour as red, green, blue (0 to 255).
        slimness: A petal's width as a share of its length.
    """

    petals: int
    colour: tuple[int, int, int]
    slimness: float


FLOWERS = {
    "daisy": Flower(13, (245, 245, 240), 0.22),
    "rose": Flower(7, (190, 30, 60), 0.8),
    "tulip": Flower(3, (240, 160, 40), 0.55),
}
PLACES = ("garden", "meadow/north side")
PER_PLACE = 10
SIDE = 96
"""Width and height in pixels."""


def write_sample_images(folder: Path, seed: int = 1) -> int:
    """Draw the sample images below a folder, as ``<flower>/<place>/<number>.jpg``.

    Args:
        folder: The folder; made if missing.
        seed: Seed of the random positions and sizes.

    Returns:
        How many images were written.
    """
    generator = random.Random(seed)
    count = 0
    for name, flower in FLOWERS.items():
        for place in PLACES:
            (folder / name / place).mkdir(parents=True, exist_ok=True)
            for number in range(1, PER_PLACE + 1):
                _draw(flower, generator, folder / name / place / f"{number}.jpg")
                count += 1
    return count


def _draw(flower: Flower, generator: random.Random, path: Path) -> None:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIDE, SIDE), (40, generator.randint(90, 140), 50))
    canvas = ImageDraw.Draw(picture)
    middle = [SIDE / 2 + generator.uniform(-10, 10) for _ in range(2)]
    length = generator.uniform(0.25, 0.4) * SIDE
    turn = generator.uniform(0, math.tau)
    for petal in range(flower.petals):
        angle = turn + math.tau * petal / flower.petals
        canvas.polygon(_petal(middle, angle, length, flower.slimness), fill=flower.colour, outline=(0, 0, 0))
    eye = length * 0.25
    canvas.ellipse([middle[0] - eye, middle[1] - eye, middle[0] + eye, middle[1] + eye], fill=(250, 210, 60))
    picture.save(path, quality=90)


def _petal(middle: list[float], angle: float, length: float, slimness: float) -> list[tuple[float, float]]:
    """Return the outline of an ellipse that reaches from the middle outwards, as points in pixels."""
    points = []
    for step in range(24):
        around = math.tau * step / 24
        along = length * (1 + math.cos(around)) / 2
        across = length * slimness * math.sin(around) / 2
        points.append(
            (
                middle[0] + along * math.cos(angle) - across * math.sin(angle),
                middle[1] + along * math.sin(angle) + across * math.cos(angle),
            )
        )
    return points
