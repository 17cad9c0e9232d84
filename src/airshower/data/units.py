"""Units of quantities, and factors between them."""

from airshower.errors import UserError

UNITS: dict[str, tuple[str, float]] = {
    "MeV": ("energy", 1e-3), "GeV": ("energy", 1.0), "TeV": ("energy", 1e3), "PeV": ("energy", 1e6),
    "cm": ("length", 1e-2), "m": ("length", 1.0), "km": ("length", 1e3),
    "g/cm2": ("depth", 1.0), "kg/m2": ("depth", 0.1),
    "ns": ("time", 1.0), "us": ("time", 1e3), "p.e.": ("charge", 1.0), "pixel": ("pixel", 1.0),
}  # fmt: skip


def factor(unit: str, to: str, key: str) -> float:
    """The factor from values in `unit` to values in `to`; 1 where `to` is empty. Raises `UserError` naming `key` for
    a unit that is unknown or measures something else."""
    if unit == to or not to:
        return 1.0
    kind, size = UNITS.get(unit, (unit, 1.0))
    other, wanted = UNITS.get(to, ("", 1.0))
    if kind != other:
        fitting = [name for name, (measured, _) in UNITS.items() if measured == kind]
        if not fitting:
            raise UserError(f"{key}={to}: these values are in {unit or 'no unit'} and in no other; leave it out")
        raise UserError(f"{key}={to}: must be a unit of {kind}: {', '.join(fitting)}")
    return size / wanted
