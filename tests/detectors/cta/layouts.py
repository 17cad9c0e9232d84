"""Small files in the layouts that are not DL1, with values that tests can foretell."""

from pathlib import Path

import h5py
import numpy as np

from airshower.geometry.camera import CameraGeometry, builtin_camera

SHOWER = [("mc_energy", "f4"), ("alt", "f4"), ("az", "f4"), ("core_x", "f4"), ("core_y", "f4"), ("h_first_int", "f4")]
CAMERA = builtin_camera("LSTCam")


def charge(image: int, pixels: int) -> np.ndarray:
    """Of an image with this number."""
    return (10.0 * image + np.arange(pixels) % 7).astype(np.float32)


def _shower(event: int) -> tuple[float, ...]:
    return 0.1 + event // 2, 1.2, 3.0, 10.0 * event, -5.0, 2e4


def extractor_grids(path: Path) -> Path:
    """Telescopes 3 (LST) and 8 (MSTS), images of 6 x 5 pixels with times; three events to train, one to validate."""
    with h5py.File(path, "w") as file:
        kind = [("tel_id", "u2"), ("tel_x", "f4"), ("tel_y", "f4"), ("tel_z", "f4"), ("tel_type", "S8")]
        rows = [(3, 10, 20, 1, b"LST", (3.0, 1.2)), (8, -10, 5, 2, b"MSTS", (3.0, 1.2))]
        file["Tel_Table"] = np.array(rows, [*kind, ("run_array_direction", "f4", 2)])
        keys = [("event_number", "u4"), ("run_number", "u4"), ("gamma_hadron_label", "u1")]
        events = [
            (i, 5, 101 * (i % 2), *_shower(i), (i, i - 1 if i else -1)) for i in range(4)
        ]  # telescope 8 has no image of event 0
        table = np.array(events, [*keys, *SHOWER, ("tel_map", "i4", 2)])
        file["E0/Events_Training"], file["E0/Events_Validation"] = table[:3], table[3:]
        for tel_id, count in ((3, 4), (8, 3)):
            images = np.stack([charge(tel_id + i, 30) for i in range(count)])
            file[f"E0/T{tel_id}"] = np.stack([images, images + 1], -1).reshape(count, 6, 5, 2)
    return path


def extractor_tables(path: Path, newer: bool, camera: CameraGeometry = CAMERA) -> Path:
    """Telescopes 1 and 4 (LST) and 2 (SSTC, without images). Image i + 1 of the table is event i's of telescope 1, and
    event 2 has image 4 of telescope 4; event 3 has none."""
    pixels, name = len(camera), "LST_LST_LSTCam" if newer else "LST"
    prefix = "" if newer else "tel_"
    with h5py.File(path, "w") as file:
        array = "Array_Information" if newer else "Telescope_Info"
        kind = [(f"{prefix}id", "u2"), (f"{prefix}x", "f4"), (f"{prefix}y", "f4"), (f"{prefix}z", "f4")]
        rows = [(4, 40, 0, 0, name), (1, 10, 0, 0, name), (2, 20, 0, 0, "SSTC")]
        file[array] = np.array(rows, [*kind, ("type" if newer else "tel_type", "S20")])
        primary = "shower_primary_id" if newer else "particle_id"
        kind = [("event_id" if newer else "event_number", "u4"), ("obs_id" if newer else "run_number", "u4")]
        kind += [(primary, "u1"), *SHOWER, (f"{name}_indices", "u4", 2)]
        kind += [("array_pointing_alt", "f4"), ("array_pointing_az", "f4")] if newer else []
        pointing = (1.2, 3.0) if newer else ()
        places = [(1, 0), (2, 0), (3, 4), (0, 0)]
        rows = [(100 + i, 7, 0, *_shower(i), places[i], *pointing) for i in range(4)]
        file["Events" if newer else "Event_Info"] = np.array(rows, kind)
        kind = [("charge" if newer else "image_charge", "f4", pixels), ("event_index", "i4")]
        kind += [("peakpos", "f4", pixels)] if newer else []
        images = np.zeros(5, kind)
        for row in range(1, 5):
            images[row][kind[0][0]] = charge(row, pixels)
            if newer:
                images[row]["peakpos"] = 20.0 + row
        file[f"Images/{name}" if newer else name] = images
        if newer:
            kind = [("type", "S20"), ("num_pixels", "u4"), ("pixel_positions", "f4", (pixels + 3, 2))]
            positions = np.pad(camera.position, ((0, 3), (0, 0)))
            file["Telescope_Type_Information"] = np.array([(name, pixels, positions)], kind)
        else:
            file.attrs["run_array_direction"] = np.array([3.0, 1.2])
    return path


def fact(path: Path, events: int = 12) -> Path:
    """Real (every third has another trigger), gamma and muon events in turns."""
    position = builtin_camera("FACT").position / 0.0095
    kind = np.arange(events) % 3
    photons = np.stack([charge(i, 1440) for i in range(events)]).astype("u2")
    with h5py.File(path, "w") as file:
        file["class"], file["pixel_xy_pixsize"], file["photons"] = kind, position, photons
        file["time_slice_500ps"] = np.where(photons > 0, 100.0, np.nan).astype("f4")
        file["energy_GeV"] = np.where(kind == 1, 500.0 + np.arange(events), np.nan).astype("f4")
        file["trigger"] = np.where(kind == 0, np.where(np.arange(events) % 9 == 0, 1024, 4), -1)
        file["source_file"] = np.array([f"run{i % 3}" for i in range(events)], "S8")
    return path


def magic(path: Path) -> Path:
    """M1 has numbers 5, 5, 6, 8, M2 has 6, 7."""
    position = builtin_camera("MAGICCamMars").position
    with h5py.File(path, "w") as file:
        file["pixel_xy_m"] = position
        for start, (name, numbers) in zip((0, 10), (("M1", (5, 5, 6, 8)), ("M2", (6, 7))), strict=True):
            file[f"{name}/stereo_event_number"] = np.array(numbers, "u4")
            file[f"{name}/photons"] = np.stack([charge(start + i, 1039) for i in range(len(numbers))])
            file[f"{name}/arrival_time"] = np.full((len(numbers), 1039), 30.0, "f4")
            file[f"{name}/arrival_time"][0, 3] = -2000.0
    return path


def corsika(path: Path, showers: int = 6, uses: int = 10) -> Path:
    """Each shower lights one pixel of some telescopes; telescope 9 sees nothing."""
    events = showers * uses
    generator = np.random.default_rng(0)
    header = np.zeros((events, 7))
    shower = np.arange(events) // uses
    header[:, 0] = 100 * (shower + 1) + np.arange(events) % uses
    header[:, 1], header[:, 2], header[:, 3] = 50.0 + shower, -0.5 + 0.2 * shower, 0.01
    header[:, 5:] = generator.uniform(-400, 400, (events, 2))
    images = np.zeros((events, 9, 40, 40), np.float32)
    images[np.arange(events), np.arange(events) % 8, 10, 20] = 1.0 + np.arange(events)
    np.savez_compressed(path, images=images, header=header)
    return path
