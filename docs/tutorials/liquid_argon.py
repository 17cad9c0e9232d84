# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Liquid argon: from nothing to predicted pixels
#
# Simulated wire images of a liquid-argon chamber, a sparse UResNet, and what it says of the pixels. Nothing is
# downloaded. With files of your own (larcv3), `airshower.open("my_file.h5")` takes the place of the simulation.

# %%
import matplotlib.pyplot as plt
import numpy as np

import airshower

SMALL = {"image_size": [192, 128], "cosmic_rate": 6}  # wires and time ticks; the default is SBND's size

# %% [markdown]
# ## Open and look
#
# An event has three wire planes. Most pixels are empty, so a batch holds the others: row (time), column (wire),
# charge, class.

# %%
events = airshower.open(data="lartpc_simulated", events=40, simulation=SMALL, downsample=0)
print(events)
print(events.truth.rows(slice(0, 5)))

# %%
batch = events[0]
pixels = batch["images"]
print(f"{pixels.counts.sum()} pixels of {pixels.counts.size * np.prod(pixels.shape)} have charge")
figure = events.display(0)

# %% [markdown]
# ## Train a little
#
# Sixty steps on small images take half a minute, and are far from enough: this shows the way, not the result.

# %%
run = airshower.train(
    "uresnet_sparse",
    [
        "data.events=40", "data.validation_events=8", "data.test_events=8", "data.downsample=0",
        f"data.simulation.image_size={SMALL['image_size']}", f"data.simulation.cosmic_rate={SMALL['cosmic_rate']}",
        "network.depth=3", "network.n_initial_filters=8", "network.bottleneck_deepest=16",
        "run.iterations=60", "run.minibatch_size=4", "mode.validation_iteration=15",
        "mode.optimizer.learning_rate=3e-3",
    ],
    folder="tutorial/liquid_argon",
)  # fmt: skip
print(run)

# %%
figure, axes = plt.subplots()
for name in ("train", "validation"):
    axes.plot(run.metrics[name]["step"], run.metrics[name]["Average/Neutrino_IoU"], label=name)
axes.set(xlabel="step", ylabel="neutrino IoU")
axes.legend()

# %% [markdown]
# ## Load and predict
#
# The folder is enough, also on another machine. Predicted pixels are rows of `parts`; `event` is the row of the
# event.

# %%
run = airshower.load("tutorial/liquid_argon")
table = run.predict(events[:8])
found = table.parts
print(found.rows(slice(0, 5)))
neutrino = found.rows(found["class"] == run.spec["images"].classes.index("neutrino"))
print(f"{len(neutrino)} of {len(found)} found pixels are neutrino's")

# %% [markdown]
# ## Plot

# %%
figure, axes = plt.subplots()
axes.hist(found["score_neutrino"], np.linspace(0, 1, 41))
axes.set(xlabel="probability of the class neutrino", ylabel="pixels that are not background", yscale="log")

# %% [markdown]
# The same from the command line: `airshower mode=inference run.folder=tutorial/liquid_argon` writes larcv3
# predictions, metrics and event displays.
