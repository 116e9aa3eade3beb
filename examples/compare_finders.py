"""Which neurons suffice, and which contributed? A ranking beside a mask that is optimised for one photograph."""

import warnings

import critpath as cp
from critpath import zoo

loaded = zoo.load(zoo.DEFAULT_MODEL)
assert loaded.preprocess is not None
x = loaded.preprocess(zoo.read_image(zoo.demo_images()[0])).unsqueeze(0)

net = cp.Network(loaded.model)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", cp.SearchWarning)  # the table says where a search stopped short
    found = cp.compare_finders(
        net,
        x,
        ["taylor", "l0", "greedy", "random"],
        0.9,
        options={"l0": {"steps": 10}, "greedy": {"step": 0.1}},
        ablations=(),
        connected=True,
    )
print(found)

at = found.at[0]
for i, finder in enumerate(found.finders):
    kept, dead = float(at.kept[i, 0]), float(at.dead[i, 0])
    print(f"{finder}: alone they give {kept:.0%} of the response; {dead:.0%} of them are dead")
