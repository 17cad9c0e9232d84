# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Cherenkov telescopes: energy and direction of gammas
#
# Simulated images of four telescopes, a stereo network, and its energy and direction beside the truth. With DL1 files
# of your own, `airshower.open("gammas.dl1.h5", mode="stereo")` takes the place of the simulation.

# %%
import matplotlib.pyplot as plt
import numpy as np

import airshower

ARRAY = {"lsts": 2, "msts": 2, "energy_min": 0.5}  # TeV

# %% [markdown]
# ## Open and look

# %%
events = airshower.open(data="cta_simulated", events=200, mode="stereo", simulation=ARRAY, cuts="hillas_intensity > 50")
print(events)
print(events.truth.rows(slice(0, 5)))

# %%
figure = events.display(int(np.argmax(events.truth["energy"])))

# %% [markdown]
# Tables go on to other tools: `events.truth.to_pandas()`, `.to_astropy()` with units, `events.to_parquet(path)`.

# %%
gammas = events[events.truth["primary"] == "gamma"]
print(f"{len(gammas)} gammas, the most energetic has {gammas.truth['energy'].max():.1f} {gammas.truth.unit('energy')}")

# %% [markdown]
# ## Train a little

# %%
run = airshower.train(
    "cta_stereo_hex",
    [
        "data.events=200", "data.validation_events=40", "data.test_events=60",
        *(f"data.simulation.{key}={value}" for key, value in ARRAY.items()),
        "network.filters=[8,16,16]", "network.blocks=[1,1,1]", "network.width=32", "network.head_width=16",
        "run.iterations=60", "run.minibatch_size=16", "mode.validation_iteration=20",
    ],
    folder="tutorial/telescopes",
)  # fmt: skip
print(run)

# %% [markdown]
# ## Load and predict

# %%
run = airshower.load("tutorial/telescopes")
table = run.predict(gammas)
print(table.rows(slice(0, 5)))

# %% [markdown]
# ## Plot
#
# The angle between predicted and true direction, and the energies.

# %%
cosine = np.sin(table["alt"]) * np.sin(table["true_alt"])
cosine += np.cos(table["alt"]) * np.cos(table["true_alt"]) * np.cos(table["az"] - table["true_az"])
angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.hist(angle, np.geomspace(0.01, 10, 31))
left.axvline(np.quantile(angle, 0.68), color="k", label="68 % containment")
left.set(xlabel="angle (deg)", ylabel="gammas", xscale="log")
left.legend()
right.plot(table["true_energy"], table["energy"], ".")
right.plot([0.3, 30], [0.3, 30], "k:", label="predicted = true")
right.set(xlabel="true energy (TeV)", ylabel="predicted energy (TeV)", xscale="log", yscale="log")
right.legend()
figure.tight_layout()

# %% [markdown]
# `airshower mode=inference run.folder=tutorial/telescopes` writes DL2 files of ctapipe, resolutions against energy
# and ROC curves.
