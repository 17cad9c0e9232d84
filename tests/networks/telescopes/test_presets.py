"""The networks of `conf/network/cta_*.yaml` for the array that is simulated by default."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.config.schema import FrameworkConfig
from airshower.data.spec import CameraImagesSpec
from airshower.detectors.cta.simulation import CtaSimulation
from tests.networks.telescopes.arrays import spec_of

OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}
WEIGHTS = {
    "cta_mono_gammaphysnet": 405_217,
    "cta_mono_resnet": 210_665,
    "cta_stereo_alexnet": 868_499,
    "cta_stereo_hex": 348_091,
    "cta_stereo_mobilenet": 274_923,
    "cta_stereo_resnet": 524_779,
}
FITTED = ("cta_hillas", "cta_stack")  # without weights of their own
PRESETS = sorted(path for path in conf_folder().glob("network/cta_*.yaml") if path.stem not in FITTED)


def simulated(mode: str) -> CameraImagesSpec:
    """The default array, in mono its LSTs."""
    array = CtaSimulation().build_array()
    telescopes = [item for item in array.telescopes() if mode == "stereo" or item.optics.name == "LST"]
    return CameraImagesSpec(
        mode,
        tuple(kind.camera.geometry for kind in array.kinds),
        np.array([item.tel_id for item in telescopes]),
        tuple(item.optics.name for item in telescopes),
        np.array([item.position for item in telescopes]),
        np.array([item.optics.effective_focal_length for item in telescopes]),
        np.array([item.camera for item in telescopes]),
    )


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_number_of_weights(path: Path) -> None:
    """Also as the yaml's first lines say."""
    preset = OmegaConf.load(path)
    network, config = build.component(preset.network, "network")
    spec = spec_of(simulated(OmegaConf.select(preset, "data.mode", default="stereo")))
    built = network(config, spec, OUTPUTS, FrameworkConfig())
    assert sum(parameter.numel() for parameter in built.parameters()) == WEIGHTS[path.stem]
    about = path.read_text().split("defaults:")[0].replace("\n#", "")
    assert f"{WEIGHTS[path.stem]:,} weights." in about
