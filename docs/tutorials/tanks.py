# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Water tanks: events that a network generates
#
# Simulated events of HAWC, a normalising flow that learns their parameters, and generated events beside reference
# ones. With XCDF files of your own: `airshower.open(gammas="gamma.xcd")`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import airshower

# %% [markdown]
# ## Open and look

# %%
events = airshower.open(data="hawc_simulated", events=4000)
print(events)
print(events.table.rows(slice(0, 5)))

# %%
images = airshower.open(data="hawc_images_simulated", events=20, channels=["charge", "time"])
figure = images.display(3)

# %% [markdown]
# ## Train a little

# %%
run = airshower.train(
    "hawc_param_flow",
    ["data.events=4000", "data.validation_events=500", "data.test_events=2000", "run.iterations=150",
     "mode.validation_iteration=50"],
    folder="tutorial/tanks",
)  # fmt: skip
print(run)

# %% [markdown]
# ## Load and generate
#
# The conditions are those of other events, in the same order; or values, as in `conditions={"SimEvent.energyTrue":
# 5000.0, ...}`.

# %%
run = airshower.load("tutorial/tanks")
generated = run.generate(4000, conditions=events, seed=1)
print(generated.rows(slice(0, 5)))

# %% [markdown]
# ## Plot

# %%
reference = events.table
figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for panel, name in zip(axes, ("rec.nHit", "rec.zenithAngle"), strict=True):
    edges = np.quantile(reference[name], np.linspace(0, 1, 31))
    edges = np.unique(edges)
    for label, table in (("reference", reference), ("generated", generated)):
        panel.hist(table[name], edges, histtype="step", label=label)
    unit = reference.unit(name)
    panel.set(xlabel=f"{name} ({unit})" if unit else name, ylabel="events")
axes[0].legend()
figure.tight_layout()

# %% [markdown]
# `airshower mode=inference run.folder=tutorial/tanks` writes generated events as XCDF and judges them: distances,
# correlations, and a classifier that tries to tell them from reference events.
