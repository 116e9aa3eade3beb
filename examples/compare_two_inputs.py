"""Do two inputs use the same pathway? A cat, the same cat in other light, and a cup of coffee."""

import torch
from PIL import ImageEnhance

import critpath as cp
from critpath import zoo

loaded = zoo.load(zoo.DEFAULT_MODEL)
assert loaded.preprocess is not None
assert loaded.classes is not None
cat, coffee = (zoo.read_image(path) for path in zoo.demo_images()[:2])
darker = ImageEnhance.Brightness(cat).enhance(0.6)
names = ("cat", "the same cat, darker", "coffee")
x = torch.stack([loaded.preprocess(picture) for picture in (cat, darker, coffee)])

net = cp.Network(loaded.model)
for name, label in zip(names, loaded.model(x).argmax(dim=1).tolist(), strict=True):
    print(f"{name}: {loaded.classes[label]}")

pathway = cp.find_pathway(net, x, "taylor", sparsity=0.9)
for other in (1, 2):
    shared = cp.overlap(pathway.sample(0), pathway.sample(other))
    print(f"\ncat and {names[other]}: {shared}".replace("sample 0: ", ""))
    for position in (0, len(shared.space) // 2, len(shared.space) - 1):
        jaccard, chance = shared.site_jaccard[0, position], shared.site_chance[0, position]
        print(f"  {shared.space.names[position]}: {jaccard:.3f} (chance {chance:.3f})")
