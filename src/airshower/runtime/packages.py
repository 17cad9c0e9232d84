"""Packages that airshower works without."""

import importlib
from typing import Any

from airshower.errors import UserError


def imported(name: str) -> Any:
    """An optional package. Raises `UserError` that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UserError(f"{package} can't be imported ({error}); pip install {package}") from None
