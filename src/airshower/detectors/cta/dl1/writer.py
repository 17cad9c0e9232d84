"""Writing DL1 files (HDF5) as ctapipe 0.28 does, data model v7.1.0: images, their parameters, and truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airshower.detectors.cta.dl1 import columns as dl1
from airshower.detectors.cta.dl1.format import Camera, Telescope, TelescopeImage, ThrownRun, TrueShower
from airshower.detectors.cta.dl1.pytables import Table, make_group
from airshower.detectors.cta.foreign.tables_file import TablesFile
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters

BUFFERED = 2048  # images that are written at once, some 30 MB
PARAMETRISED = 256  # images whose parameters are computed at once
FIRST_SECOND = 1_700_000_000  # of the made-up times: unix seconds (TAI) of event 0, then one event a millisecond
QUARTERS = 4  # quarters of a nanosecond, ctapipe's unit
ARRAY_EVENT = 32  # ctapipe's EventType of what the array triggered on
ENERGY_EDGES, CORE_EDGES = np.logspace(-3, 4, 141), np.linspace(0.0, 4000.0, 201)  # TeV, m; those of sim_telarray
MJD_OF_UNIX = 40587.0


class Dl1Writer(TablesFile):
    """Writes one DL1 file, event by event; see `TablesFile`.

    `telescopes` are the array, their `camera` is an index into `cameras`; `simulation_config` has the thrown showers of
    each observation block (`obs_id`).
    """

    def __init__(
        self,
        path: str | Path,
        telescopes: Sequence[Telescope],
        cameras: Sequence[Camera],
        simulation_config: Mapping[int, ThrownRun],
        provenance: Mapping[str, str] | None = None,
    ):
        super().__init__(path, provenance, time=(2,), tels_with_trigger=(len(telescopes),))
        self.telescopes = list(telescopes)
        self.cameras = list(cameras)
        self.runs = dict(simulation_config)
        self.waiting: list[tuple[int, int, TelescopeImage]] = []
        self.rows: dict[str, list[tuple]] = {"shower": [], "trigger": [], "telescope": []}
        shape = len(ENERGY_EDGES) - 1, len(CORE_EDGES) - 1
        self.thrown = {obs_id: np.zeros(shape) for obs_id in self.runs}
        self.kinds = [(telescope.camera, telescope.optics.effective_focal_length) for telescope in self.telescopes]
        self.pixels = {kind: SkyPixels(self.cameras[kind[0]].geometry, kind[1]) for kind in dict.fromkeys(self.kinds)}
        self._instrument()

    def append(
        self,
        obs_id: int,
        event_id: int,
        shower: TrueShower,
        images: Sequence[TelescopeImage],
        thrown: np.ndarray | None = None,
    ) -> None:
        """Add an event that triggered; `thrown` f8 [n, 2] are the energies (TeV) and core distances (m) of all showers.

        Without `thrown` this one is counted as the only one.
        """
        if thrown is None:
            thrown = np.array([[shower.energy, np.hypot(shower.core_x, shower.core_y)]])
        row, column = (
            np.searchsorted(e, v, "right") - 1 for e, v in zip((ENERGY_EDGES, CORE_EDGES), thrown.T, strict=True)
        )
        np.add.at(self.thrown[obs_id], (row, column), 1.0)
        truth = (shower.energy, shower.alt, shower.az, shower.core_x, shower.core_y, shower.h_first_int, shower.x_max)
        triggered = np.zeros(len(self.telescopes), bool)
        triggered[[image.telescope for image in images]] = True
        ids = obs_id, event_id
        self.rows["shower"].append((*ids, *truth, 0.0, shower.primary_id))
        self.rows["trigger"].append((*ids, _time(event_id, 0.0), triggered, ARRAY_EVENT))
        self.rows["telescope"] += [
            (*ids, self._tel_id(image), _time(event_id, image.time), ARRAY_EVENT, image.n_trigger_pixels)
            for image in images
        ]
        self.waiting += [(*ids, image) for image in images]
        if len(self.waiting) >= BUFFERED:
            with self.writing():
                self._flush()

    def _tel_id(self, image: TelescopeImage) -> int:
        return self.telescopes[image.telescope].tel_id

    def _flush(self) -> None:
        """Write the buffered events, the images of one telescope together."""
        for name, path, columns in (
            ("shower", "/simulation/event/subarray/shower", dl1.SHOWER),
            ("trigger", "/dl1/event/subarray/trigger", dl1.ARRAY_TRIGGER),
            ("telescope", "/dl1/event/telescope/trigger", dl1.TELESCOPE_TRIGGER),
        ):
            self._add(path, columns, self.rows[name])
            self.rows[name] = []
        by_telescope: dict[int, list[tuple[int, int, TelescopeImage]]] = {}
        for row in self.waiting:
            by_telescope.setdefault(row[2].telescope, []).append(row)
        self.waiting = []
        for telescope in sorted(by_telescope):
            self._images(telescope, by_telescope[telescope])

    def _images(self, telescope: int, waiting: list[tuple[int, int, TelescopeImage]]) -> None:
        """Parametrise and write images of one telescope."""
        tel_id = self.telescopes[telescope].tel_id
        pixels = self.pixels[self.kinds[telescope]]
        charge, time, true = (
            np.stack([getattr(image, name) for *_, image in waiting]) for name in ("charge", "peak_time", "true_image")
        )
        mask = clean(pixels, charge)
        parts = [_parameters(pixels, charge[i], time[i], true[i], mask[i]) for i in _slices(len(waiting))]
        parameters = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        ids = {
            "obs_id": np.array([obs_id for obs_id, *_ in waiting]),
            "event_id": np.array([event_id for _, event_id, _ in waiting]),
            "tel_id": tel_id,
        }
        images = {"image": charge, "peak_time": time, "image_mask": mask, "is_valid": True}
        impact = np.array([image.impact_distance for *_, image in waiting])
        for path, columns, values in (
            ("/dl1/event/telescope/images", dl1.IMAGE, images),
            ("/dl1/event/telescope/parameters", dl1.PARAMETERS, parameters),
            ("/simulation/event/telescope/images", dl1.TRUE_IMAGE, {"true_image": true, "true_image_sum": true.sum(1)}),
            ("/simulation/event/telescope/parameters", dl1.TRUE_PARAMETERS, parameters),
            (
                "/simulation/event/telescope/impact", dl1.IMPACT,
                {"true_impact_distance": impact, "true_impact_distance_uncert": 0.0},
            ),
        ):  # fmt: skip
            shapes = dict.fromkeys(("image", "peak_time", "image_mask", "true_image"), true.shape[1:])
            rows = np.zeros(len(waiting), dl1.row_type(columns, **shapes))
            for name in rows.dtype.names or ():
                rows[name] = values[name] if name in values else ids[name]
            self._add(f"{path}/tel_{tel_id:03d}", columns, rows, **shapes)

    def _instrument(self) -> None:
        """The array, its telescopes and cameras."""
        optics = list(dict.fromkeys(telescope.optics for telescope in self.telescopes))
        path = "/configuration/instrument"
        about = {"ORIGIN": "ctapipe.instrument.SubarrayDescription", "SOFT_VER": "0.28.0", "SUBARRAY": "airshower"}
        rows = [
            (
                t.tel_id, t.name, t.optics.size_type, *t.position, self.cameras[t.camera].geometry.name, t.optics.name,
                t.camera, optics.index(t.optics), f"{t.optics.size_type}_{t.optics.name}_{self._camera_name(t)}",
            )
            for t in self.telescopes
        ]  # fmt: skip
        self._plain(
            f"{path}/subarray/layout",
            {
                "tel_id": "u2", "name": "S", "type": "S", "pos_x": "f4 m", "pos_y": "f4 m", "pos_z": "f4 m",
                "camera_name": "S", "optics_name": "S", "camera_index": "i8", "optics_index": "i8",
                "tel_description": "S",
            },
            rows,
            about | {"TAB_TYPE": "subarray", "TAB_VER": "2.0", "name": "airshower"} | dl1.REFERENCE,
        )  # fmt: skip
        self._plain(
            f"{path}/telescope/optics",
            {
                "optics_name": "S", "size_type": "S", "reflector_shape": "S", "mirror_area": "f8 m**2",
                "n_mirrors": "i8", "n_mirror_tiles": "i8", "equivalent_focal_length": "f8 m",
                "effective_focal_length": "f8 m",
            },
            [tuple(vars(o).values()) for o in optics],
            about | {"TAB_TYPE": "optics", "TAB_VER": "4.0"},
        )  # fmt: skip
        for index, camera in enumerate(self.cameras):
            self._camera(f"{path}/telescope/camera", index, camera)

    def _camera_name(self, telescope: Telescope) -> str:
        return self.cameras[telescope.camera].geometry.name

    def _camera(self, path: str, index: int, camera: Camera) -> None:
        pixels = camera.geometry
        self._plain(
            f"{path}/geometry_{index}",
            {"pix_id": "i8", "pix_x": "f8 m", "pix_y": "f8 m", "pix_area": "f8 m**2"},
            list(zip(range(len(pixels)), pixels.x, pixels.y, pixels.area, strict=True)),
            {
                "CAM_ID": pixels.name, "CAM_ROT": np.float64(pixels.camera_rotation), "PIX_TYPE": pixels.shape,
                "PIX_ROT": np.float64(pixels.pixel_rotation), "TAB_TYPE": "ctapipe.instrument.CameraGeometry",
                "TAB_VER": "2.0",
            },
        )  # fmt: skip
        time = np.arange(0.0, 20.0, dl1.PULSE_STEP)
        pulse = np.exp(-0.5 * ((time - time.mean()) / dl1.PULSE_WIDTH) ** 2)
        self._plain(
            f"{path}/readout_{index}",
            {"reference_pulse_shape_channel0": "f8", "reference_pulse_sample_time": "f8 ns"},
            list(zip(pulse, time, strict=True)),
            {
                "CAM_ID": pixels.name, "NCHAN": np.int64(1), "NPIXELS": np.int64(len(pixels)),
                "NSAMPLES": np.int32(camera.n_samples), "REFWIDTH": np.float64(dl1.PULSE_STEP),
                "SAMPFREQ": np.float64(camera.sampling_rate), "TAB_TYPE": "ctapipe.instrument.CameraReadout",
                "TAB_VER": "3.0",
            },
        )  # fmt: skip

    def _plain(self, path: str, types: dict[str, str], rows: list[tuple], attributes: dict[str, Any]) -> None:
        """A table of the instrument; strings are as long as the longest, which their attribute says."""
        kinds = []
        fields = {}
        for i, (name, text) in enumerate(types.items()):
            kind, _, unit = text.partition(" ")
            if kind == "S":
                kind = f"S{max(len(row[i]) for row in rows)}"
                fields |= {f"CTAFIELD_{i}_TRANSFORM": "string", f"CTAFIELD_{i}_MAXLEN": np.int64(kind[1:])}
            if unit:
                fields |= {f"CTAFIELD_{i}_TRANSFORM": "quantity", f"CTAFIELD_{i}_UNIT": unit}
            kinds.append((name, kind))
        Table(self.file, path, np.dtype(kinds), fields | attributes).append(np.array(rows, np.dtype(kinds)))

    def _finish(self) -> None:
        """Write the runs and the attributes of the file, which are complete only at the end."""
        self._flush()
        for obs_id, run in self.runs.items():
            self._run(obs_id, run)
        for path in ("/dl1/event/subarray", "/simulation/event/subarray", "/dl1/service"):
            make_group(self.file, path)
        self._describe(dl1.PRODUCT, self.runs)

    def _run(self, obs_id: int, run: ThrownRun) -> None:
        thrown = self.thrown[obs_id]
        energy = ENERGY_EDGES
        core = CORE_EDGES
        shapes = {"bins_energy": energy.shape, "bins_core_dist": core.shape, "histogram": thrown.shape}
        row = obs_id, obs_id, int(thrown.sum()), energy, core, thrown
        self._add("/simulation/service/shower_distribution", dl1.DISTRIBUTION, [row], **shapes)
        alt, az = np.radians(run.source)
        values = dl1.UNKNOWN_RUN | {
            "obs_id": obs_id, "run_number": obs_id, "energy_range_min": run.energy_range[0],
            "energy_range_max": run.energy_range[1], "prod_site_alt": run.altitude,
            "spectral_index": run.spectral_index, "n_showers": int(thrown.sum()), "shower_reuse": 1,
            "max_alt": alt, "min_alt": alt, "max_az": az, "min_az": az, "diffuse": int(run.view_cone > 0.0),
            "max_viewcone_radius": run.view_cone, "min_viewcone_radius": 0.0,
            "max_scatter_range": run.scatter_radius, "min_scatter_range": 0.0, "core_pos_mode": 0,
        }  # fmt: skip
        self._add("/configuration/simulation/run", dl1.RUN, [tuple(values[c.name] for c in dl1.RUN)])
        for telescope in self.telescopes:
            alt, az = np.radians(run.pointing)
            path = f"/configuration/telescope/pointing/tel_{telescope.tel_id:03d}"
            self._add(path, dl1.POINTING, [(obs_id, telescope.tel_id, az, alt)])
        start = FIRST_SECOND / 86400.0 + MJD_OF_UNIX
        block = obs_id, obs_id, b"simulation", 1, *run.pointing, 0, np.nan, start, start, np.nan
        self._add("/configuration/observation/observation_block", dl1.OBSERVATION_BLOCK, [block])
        self._add(
            "/configuration/observation/scheduling_block", dl1.SCHEDULING_BLOCK, [(obs_id, 0, b"simulation", -1, 1)]
        )


def _slices(rows: int) -> list[slice]:
    return [slice(first, first + PARAMETRISED) for first in range(0, rows, PARAMETRISED)]


def _parameters(
    pixels: SkyPixels, charge: np.ndarray, time: np.ndarray, true: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Parameters of cleaned images, and with the prefix true_ of the Cherenkov light alone."""
    of_true = image_parameters(pixels, true, None, true > 0)
    return image_parameters(pixels, charge, time, mask) | {f"true_{name}": value for name, value in of_true.items()}


def _time(event_id: int, after: float) -> tuple[int, int]:
    """Seconds and quarters of nanoseconds of a made-up time, `after` ns after that of the event."""
    total = (event_id * 1_000_000 + 500 + round(after)) * QUARTERS
    return FIRST_SECOND + total // (QUARTERS * 10**9), total % (QUARTERS * 10**9)
