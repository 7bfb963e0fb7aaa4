"""Object classes of the Sweet Home 3D furniture, by the English name of a model.

The catalogue's own `category` is a room (Kitchen, Exterior, Miscellaneous), not a class of objects.
"""

import re
from functools import cache

OTHER = "other"

# The longest phrase in a name decides ("table tennis bat" over "table"); of equally long ones the last in the name.
# Phrases match whole words, also with a plural s.
_PHRASES = {
    "animal": "bulldog, cat, deer, dog, horse, rabbit",
    "appliance": """air conditioning, blender, boiler, ceiling fan, chest freezer, chimney, coffee brewer, coffee
        machine, coffee maker, coffee press, cooker, cooktop, deep fryer, dryer machine, espresso kettle, fireplace,
        fridge, furnace, hood, microwave, mixer, oven, radiator, refrigerator, rigged fan, sandwich maker, stone grill
        device, stove, table fan, toaster, washing machine, water cooler, water heater""",
    "bath": """basin, bath, bathmat, bathtub, bidet, island bath, jacuzzi, lavatory, shower, sink, swimming pool,
        toilet, urinal, washbasin""",
    "bed": "air mattress, bed, crib, futon, hammock, sleeping bag",
    "bench": "bank, bench",
    "cabinet": """bookcase, box, cabinet, chest, crate, cupboard, dresser, glass door cabinet, locker, mailbox, safe,
        shelves, tv stand, vanity, wardrobe""",
    "chair": "armchair, chair, class seat, pool lounge, potty, puff, stool",
    "container": """ashtray, barrel, basket, bin, bottle, bowl, can, coffee mug, cosmetics pot, creamer, cup, dustbin,
        flacon, glass, hashtray, large pan, letters box, medicine box, milk, old jar, penbox, pottery, salt shaker,
        spice tower, sugar, teapot, trashcan, trunck, utensils pot, vase""",
    "door_window": "curtain, door, glass door, screen door, shower door, window",
    "electronics": """camera, cctv, dvd player, flipper, headphones, ibook, imac, intercom, iphone, joystick, keyboard,
        laptop, mp3 base, mp3 station, number lock, phone, playstation, printer and scanner, radio, screen, smoke
        detector, speaker, stereo, tablet, tv, video projector""",
    "flat_road": """arrow, bill, carpet, concrete sidewalk, doormat, newspaper, parking slot, pedestrian crossing, rail
        crossing, rails, rug, tatami""",
    "human": "boy, female, girl, male",
    "instrument_sport": """basketball, child swing, children game, dart game, electric guitar, fitness tower, football
        goal, indoor bike, piano, punching ball, seesaw, soccer ball, table tennis bat, tennis racket, trampoline,
        treadmill, xylophone""",
    "lamp": "candle, flashlight, fluorescent strip, lamp, lamppost, lantern, light, spotlight",
    "plant": """acacia, bamboo, bush, cactus, copper beech, cypress, ficus, flower box, flowers, hedge, lily, maple,
        orchids, peach blossom, pine, plant, poplar, spathiphyllum, tree, tulip, yucca""",
    "plug_switch": "entry bell ring, entry speech unit, plug, socket, switch",
    "sofa": "couch, day bed, sofa",
    "table": "desk, island, table, workbench",
    "vehicle": """bicycle, bike, biplane, bus, car model, chevrolet, concept sedan, ford focus, fork lift, motorbike,
        mower, new beetle, peugeot, renault, rowboat, scooter, seat leon, skateboard, smart car, stroller, suv, toy
        train, tricycle, truck, van, wheelbarrow, wheelchair, yamaha""",
    # Names that would match a word of another class.
    OTHER: "clothes horse, cup cake, dog house, hot dog, rocking horse",
}

_BY_MODEL = {"chaussette": OTHER}  # a sock: "Socket" in the catalogue


@cache
def _rules() -> list[tuple[str, re.Pattern[str]]]:
    phrases = [(category, " ".join(p.split())) for category, text in _PHRASES.items() for p in text.split(",")]
    return [(category, re.compile(rf"\b{re.escape(phrase)}(?:s|es)?\b")) for category, phrase in phrases]


def group_of(name: str, model: str = "") -> str:
    """Object class of a catalogue entry by its English name and the stem of its model file; 'other' if none fits."""
    if model in _BY_MODEL:
        return _BY_MODEL[model]
    words = " ".join(re.findall(r"[a-z0-9']+", name.lower()))
    found = [(m.end() - m.start(), m.end(), category) for category, rule in _rules() for m in rule.finditer(words)]
    return max(found)[2] if found else OTHER
