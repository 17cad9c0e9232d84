"""Small DL1 files in the layouts of ctapipe's versions and of lstchain."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HEXAGONS = np.array(
    [(0, 0), (1, 0), (-1, 0), (0.5, 0.75**0.5), (-0.5, 0.75**0.5), (0.5, -(0.75**0.5)), (-0.5, -(0.75**0.5))]
)
SQUARES = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
PIXELS = {"LST": 0.05 * HEXAGONS, "MST": 0.06 * SQUARES}
ARRAY = ((1, "LST"), (2, "LST"), (5, "MST"))


def rewrite(file: h5py.File, table: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replace the rows of a table by what `change` makes of them; its attributes stay."""
    rows, attributes = change(file[table][:]), dict(file[table].attrs)
    del file[table]
    file.create_dataset(table, data=rows).attrs.update(attributes)


def write_dl1(
    path: Path, layout: str = "ctapipe", events: int = 6, primary: int = 0, obs_id: int = 7, **options: Any
) -> Path:
    """Write a small DL1 file: telescopes 1 and 2 have 7 hexagonal pixels, 5 has 4 square ones.

    Event i is number 100 * (i // 2) + i % 2: each shower is used twice. Telescope t sees it where (i + t) % 3 > 0.
    Charges are 10 * i + t + pixel / 8, times 20 + i + pixel / 4; `hillas_intensity` is the sum of the charges.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        _Writer(file, layout, events, primary, obs_id, **options).write()
    return path


def seen(event: int, tel_id: int) -> bool:
    """Whether a telescope has an image of an event."""
    return (event + tel_id) % 3 > 0


def charge(event: int, tel_id: int, pixels: int) -> np.ndarray:
    """The image of a telescope in `write_dl1`'s files."""
    return 10.0 * event + tel_id + np.arange(pixels) / 8


class _Writer:
    """`layout`: ctapipe (v7), type (tables of each kind of telescope), v4, scaled (integers), observed, lstchain."""

    def __init__(self, file: Any, layout: str, events: int, primary: int, obs_id: int, shift: float = 0.0):
        self.file, self.layout, self.events, self.primary, self.obs_id = file, layout, events, primary, obs_id
        self.array = ARRAY[:1] if layout == "lstchain" else ARRAY
        self.shift, self.lstchain = shift, layout == "lstchain"

    def write(self) -> None:
        if not self.lstchain:
            version = {"v4": "v4.0.0"}.get(self.layout, "v7.1.0")
            self.file.attrs["CTA PRODUCT DATA MODEL VERSION"] = version
        self.instrument()
        self.images()
        if self.lstchain:
            return
        rows = [(*self.ids(i), 60000.0 + i, [seen(i, t) for t, _ in self.array], 32) for i in range(self.events)]
        kind = [("obs_id", "i4"), ("event_id", "i8"), ("time", "f8"), ("tels_with_trigger", "?", (len(self.array),))]
        self.table("/dl1/event/subarray/trigger", np.array(rows, [*kind, ("event_type", "i8")]))
        self.pointing()
        if self.layout != "observed":
            self.showers()

    def ids(self, event: int) -> tuple[int, int]:
        return self.obs_id, 100 * (event // 2) + event % 2

    def table(self, path: str, rows: np.ndarray, units: dict[str, str] | None = None, **attributes: Any) -> None:
        table = self.file.create_dataset(path, data=rows)
        for column, unit in (units or {}).items():
            table.attrs[f"CTAFIELD_{rows.dtype.names.index(column)}_UNIT"] = unit
        table.attrs.update(attributes)

    def instrument(self) -> None:
        where, by_name = "/configuration/instrument/telescope", self.layout == "v4"
        key, kind = ("camera_name", "S9") if by_name else ("camera_index", "i8")
        rows = [
            (
                t,
                f"{k}N",
                k,
                30.0 * t + self.shift,
                -10.0,
                2.0,
                k if by_name else int(k != "LST"),
                int(k != "LST"),
                f"{k}_{k}_{k}Cam",
            )
            for t, k in self.array
        ]
        columns = [("tel_id", "u2"), ("name", "S9"), ("type", "S9"), ("pos_x", "f4"), ("pos_y", "f4"), ("pos_z", "f4")]
        columns += [(key, kind), ("optics_index", "i8"), ("tel_description", "S20")]
        meters = dict.fromkeys(("pos_x", "pos_y", "pos_z"), "m")
        self.table("/configuration/instrument/subarray/layout", np.array(rows, columns), meters)
        optics = np.array(
            [("LST", 28.0, 29.3), ("MST", 16.0, np.nan)],
            [("name", "S9"), ("equivalent_focal_length", "f8"), ("effective_focal_length", "f8")],
        )
        self.table(f"{where}/optics", optics, dict.fromkeys(optics.dtype.names[1:], "m"))
        for number, (name, shape) in enumerate((("LST", "hexagon"), ("MST", "square"))):
            pixels = PIXELS[name] * 1000  # in mm, as some files are
            rows = [(i, *xy, 2000.0) for i, xy in enumerate(pixels)]
            geometry = np.array(rows, [("pix_id", "i8"), ("pix_x", "f8"), ("pix_y", "f8"), ("pix_area", "f8")])
            units = {"pix_x": "mm", "pix_y": "mm", "pix_area": "mm**2"}
            names = {"CAM_ID": f"{name}Cam", "PIX_TYPE": shape, "PIX_ROT": 30.0, "CAM_ROT": 0.0}
            self.table(f"{where}/camera/geometry_{name if by_name else number}", geometry, units, **names)

    def images(self) -> None:
        groups = {f"tel_{t:03d}": [(t, k)] for t, k in self.array}
        if self.layout in ("type", "lstchain"):
            groups = {f"type_{k}": [(t, o) for t, o in self.array if o == k] for _, k in self.array}
        for name, telescopes in groups.items():
            pixels = len(PIXELS[telescopes[0][1]])
            stored = "u2" if self.layout == "scaled" else "f4"
            kind = [("obs_id", "i4"), ("event_id", "i8"), ("tel_id", "i2"), ("image", stored, (pixels,))]
            pairs = [(i, t) for i in range(self.events) for t, _ in telescopes if seen(i, t)]
            rows = np.zeros(len(pairs), [*kind, ("peak_time", "f4", (pixels,)), ("image_mask", "?", (pixels,))])
            values = np.array([charge(i, t, pixels) for i, t in pairs])
            for row, (i, t) in zip(rows, pairs, strict=True):
                row["obs_id"], row["event_id"], row["tel_id"] = *self.ids(i), t
                row["peak_time"] = 20 + i + np.arange(pixels) / 4
            rows["image_mask"] = values > 30
            rows["image"] = np.round(values * 100) + 50 if self.layout == "scaled" else values
            group = "image" if self.lstchain else "images"
            scale = {"CTAFIELD_3_TRANSFORM_SCALE": 100.0, "CTAFIELD_3_TRANSFORM_OFFSET": 50}
            scaled = scale if self.layout == "scaled" else {}
            self.table(f"/dl1/event/telescope/{group}/{name}", rows, None, **scaled)
            self.parameters(f"/dl1/event/telescope/parameters/{name}", pairs, values)

    def parameters(self, path: str, pairs: list[tuple[int, int]], values: np.ndarray) -> None:
        name = {"lstchain": "intensity", "v4": "camera_frame_hillas_intensity"}.get(self.layout, "hillas_intensity")
        columns = {name: values.sum(1)}
        if self.lstchain:
            truth = self.truth()[[i for i, _ in pairs]]
            columns |= dict(
                zip(
                    ("mc_energy", "mc_alt", "mc_az", "mc_core_x", "mc_core_y", "mc_h_first_int", "mc_x_max", "mc_type"),
                    truth.T,
                    strict=True,
                )
            )
            columns |= {"alt_tel": np.full(len(pairs), 1.2), "az_tel": np.full(len(pairs), 3.0)}
        rows = np.zeros(
            len(pairs), [("obs_id", "i4"), ("event_id", "i8"), ("tel_id", "i2"), *((name, "f8") for name in columns)]
        )
        for row, (i, t) in zip(rows, pairs, strict=True):
            row["obs_id"], row["event_id"], row["tel_id"] = *self.ids(i), t
        for name, column in columns.items():
            rows[name] = column
        self.table(path, rows)

    def pointing(self) -> None:
        for t, _ in self.array:
            if self.layout in ("v4", "observed"):  # one degree of azimuth through south in two days, around event 2
                rows = np.array(
                    [(60001.0, 1.2, 2 * np.pi - 0.1), (60003.0, 1.2, 0.1)],
                    [("time", "f8"), ("altitude", "f8"), ("azimuth", "f8")],
                )
                self.table(
                    f"/dl{int(self.layout == 'v4')}/monitoring/telescope/pointing/tel_{t:03d}",
                    rows,
                    {"altitude": "rad", "azimuth": "rad"},
                )
            else:
                kind = [("obs_id", "i4"), ("telescope_pointing_azimuth", "f4"), ("telescope_pointing_altitude", "f4")]
                rows = np.array([(self.obs_id, 180.0, 70.0)], kind)
                units = dict.fromkeys(rows.dtype.names[1:], "deg")
                self.table(f"/configuration/telescope/pointing/tel_{t:03d}", rows, units)

    def truth(self) -> np.ndarray:
        """f8 [events, 8]; events of a shower differ in the core alone."""
        shower = np.arange(self.events) // 2 + 10.0 * self.primary
        rows = [1.0 + shower, 1.2 + 0 * shower, 3.0 + 0 * shower, np.arange(self.events), -50.0 + 0 * shower]
        return np.stack([*rows, 20000 + shower, 300 + shower, self.primary + 0 * shower], 1)

    def showers(self) -> None:
        names = ("energy", "alt", "az", "core_x", "core_y", "h_first_int", "x_max", "shower_primary_id")
        rows = np.zeros(
            self.events, [("obs_id", "i4"), ("event_id", "i8"), *((f"true_{name}", "f8") for name in names)]
        )
        rows["obs_id"], rows["event_id"] = np.array([self.ids(i) for i in range(self.events)]).T
        for name, column in zip(names, self.truth().T, strict=True):
            rows[f"true_{name}"] = np.degrees(column) if name in ("alt", "az") else column
        rows["true_energy"] *= 1000
        units = {
            "true_energy": "GeV",
            "true_alt": "deg",
            "true_az": "deg",
            "true_core_x": "m",
            "true_x_max": "g.cm**-2",
        }
        self.table("/simulation/event/subarray/shower", rows[::-1], units)
        run = {"obs_id": self.obs_id, "energy_range_min": 0.1, "energy_range_max": 100.0, "spectral_index": -2.0}
        run |= {"n_showers": 5, "shower_reuse": 2, "max_scatter_range": 500.0, "max_viewcone_radius": 10.0}
        kinds = [(name, "i8" if isinstance(value, int) else "f8") for name, value in run.items()]
        units = {"energy_range_min": "TeV", "max_viewcone_radius": "deg"}
        self.table("/configuration/simulation/run", np.array([tuple(run.values())], kinds), units)
