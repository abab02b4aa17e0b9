"""The classes of the generated streets and their ids."""

from __future__ import annotations

#: Semantic ids: the position in this list. The first five are stuff, the others things.
SEMANTIC_CLASSES = [
    "road",
    "pavement",
    "building",
    "vegetation",
    "sky",
    "car",
    "person",
    "rider",
    "pole",
    "sign",
    "barrier",
]
ROAD, PAVEMENT, BUILDING, VEGETATION, SKY = range(5)
CAR, PERSON, RIDER, POLE, SIGN, BARRIER = range(5, 11)
NUM_STUFF = 5
THING_CLASSES = SEMANTIC_CLASSES[NUM_STUFF:]
#: For panoptic training in detectron2's "separated" format: all things are id 0.
SEPARATED_CLASSES = ["things", *SEMANTIC_CLASSES[:NUM_STUFF]]
#: Never written by the generator (every pixel has a class); what mappers pad with.
IGNORE_LABEL = 255
COLORS = [
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (107, 142, 35),
    (70, 130, 180),
    (0, 0, 142),
    (220, 20, 60),
    (255, 0, 0),
    (153, 153, 153),
    (220, 220, 0),
    (190, 153, 153),
]
