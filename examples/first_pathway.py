# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first pathway
#
# Which neurons made a network call this photograph a cat, and what in the picture do they see?
# Install `critpath[demo]` first: it brings a small ImageNet network and photographs.

# %%
from PIL import Image

import critpath as cp
from critpath import zoo

loaded = zoo.load(zoo.DEFAULT_MODEL)
photograph = zoo.read_image(zoo.demo_images()[0])
loaded.preprocess.view(photograph)  # what the network sees

# %% [markdown]
# ## The network, seen
#
# A *site* is one call of an activation function, and its elements are the *neurons*.

# %%
net = cp.Network(loaded.model)
x = loaded.preprocess(photograph).unsqueeze(0)
print(net.doctor(x))

# %% [markdown]
# ## Scores and pathway
#
# Every neuron gets a signed contribution to the logit of the predicted class. The pathway keeps the tenth with
# the largest magnitudes.

# %%
scores = cp.score(net, x)
pathway = cp.select(scores, sparsity=0.9)
print(loaded.classes[int(loaded.model(x).argmax())])
print(pathway)
print(cp.overlap(pathway, cp.find_pathway(net, x, "random", sparsity=0.9)))

# %% [markdown]
# ## What the pathway sees
#
# The pathway gradient is the gradient of the network in which only the pathway reacts. A random pathway of the
# same size is the control.


# %%
def as_picture(gradient):
    """|gradient|, summed over colours, its 99th percentile white."""
    magnitude = gradient[0].abs().sum(dim=0)
    scaled = (magnitude / magnitude.quantile(0.99).clamp(min=1e-12)).clamp(max=1)
    return Image.fromarray((scaled * 255).byte().numpy())


as_picture(cp.attribute(net, x, "pathway_gradient", pathway=pathway))

# %%
as_picture(cp.attribute(net, x, "gradient"))

# %% [markdown]
# ## All of it on one page
#
# Move the slider between sparsities. At the bottom the page says what was covered, and what it does not show.

# %%
cp.explain(net, x, classes=loaded.classes, title="A first pathway", model=loaded.name)
