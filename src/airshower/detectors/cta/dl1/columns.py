"""The columns of DL1 and DL2 files, ctapipe's data model v7.1.0: types, units, and transformations on reading."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DATA_MODEL = "v7.1.0"
_TIME = {"TRANSFORM": "time", "TIME_SCALE": "tai"}
_PREFIXES = (
    "hillas",
    "timing",
    "leakage",
    "concentration",
    "morphology",
    "intensity",
    "peak_time",
    "telescope_pointing",
)


@dataclass(frozen=True)
class Column:
    """One column: its numpy type, and the attributes CTAFIELD_n_... of the table."""

    name: str
    kind: str
    attributes: Mapping[str, Any]


def _enum(name: str) -> dict[str, Any]:
    """A reference to one of ctapipe's enumerations, as Python would pickle it."""
    return {"TRANSFORM": "enum", "ENUM": np.bytes_(f"cctapipe.containers\n{name}\np0\n.".encode())}


def _columns(text: str, strip: str = "") -> tuple[Column, ...]:
    """Columns from lines "name type unit description"; "-" is no unit, and "=kind" names another transformation.

    ctapipe's own name of a column is without its prefix and without `strip`.
    """
    special = {
        "=time": _TIME | {"TIME_FORMAT": "ctao_high_res"},
        "=mjd": _TIME | {"TIME_FORMAT": "mjd"},
        "=telescopes": {"TRANSFORM": "tel_list_to_mask"},
    }
    columns = []
    for line in filter(None, text.splitlines()):
        name, kind, unit, description = line.split(maxsplit=3)
        short = name.removeprefix(strip)
        short = next((short.removeprefix(f"{p}_") for p in _PREFIXES if short.startswith(f"{p}_")), short)
        attributes: dict[str, Any] = {"NAME": short, "DESC": description}
        if unit.startswith("=enum:"):
            attributes |= _enum(unit.removeprefix("=enum:"))
        elif unit.startswith("="):
            attributes |= special[unit]
        elif unit != "-":
            attributes |= {"TRANSFORM": "quantity", "UNIT": unit}
        if kind.startswith("S"):
            attributes |= {"TRANSFORM": "string", "MAXLEN": int(kind[1:])}
        columns.append(Column(name, kind, attributes))
    return tuple(columns)


def row_type(columns: tuple[Column, ...], **shapes: tuple[int, ...]) -> np.dtype:
    """The numpy type of a row; `shapes` are the shapes of array columns."""
    return np.dtype([(c.name, c.kind, shapes[c.name]) if c.name in shapes else (c.name, c.kind) for c in columns])


_EVENT = """
obs_id i4 - observation block
event_id i8 - event of the array
"""
_TELESCOPE_EVENT = _EVENT + "tel_id i2 - telescope\n"

SHOWER = _columns(
    _EVENT
    + """
true_energy f8 TeV energy of the primary
true_alt f8 deg altitude that the primary comes from
true_az f8 deg azimuth that the primary comes from
true_core_x f8 m core at the height of the array, to the north
true_core_y f8 m core at the height of the array, to the west
true_h_first_int f8 m height of the first interaction
true_x_max f8 g.cm**-2 slant depth of the maximum
true_starting_grammage f8 g.cm**-2 depth where the primary starts
true_shower_primary_id i8 - 0 gamma, 1 electron, 100 A + Z nuclei, negative antimatter
""",
    "true_",
)
TRUE_IMAGE = _columns(
    _TELESCOPE_EVENT
    + """
true_image_sum i4 - photo-electrons of Cherenkov light in the camera
true_image i4 - photo-electrons of Cherenkov light in each pixel
"""
)
IMPACT = _columns(
    _TELESCOPE_EVENT
    + """
true_impact_distance f8 m from the telescope to the axis of the shower
true_impact_distance_uncert f8 m its uncertainty: none
""",
    "true_impact_",
)
ARRAY_TRIGGER = _columns(
    _EVENT
    + """
time u4 =time time of the event
tels_with_trigger ? =telescopes which triggered, in the order of the layout
event_type i8 =enum:EventType kind of trigger
"""
)
TELESCOPE_TRIGGER = _columns(
    _TELESCOPE_EVENT
    + """
time u4 =time time of the trigger
event_type i8 =enum:EventType kind of trigger
n_trigger_pixels i8 - pixels around which the trigger's condition is met
"""
)
IMAGE = _columns(
    _TELESCOPE_EVENT
    + """
image f4 - charge of each pixel in photo-electrons
peak_time f4 - time of the largest pulse of each pixel in ns after the start of the readout
image_mask ? - pixels that the cleaning keeps
is_valid ? - whether charges could be extracted
"""
)
PARAMETERS = _columns(
    _TELESCOPE_EVENT
    + """
hillas_intensity f8 - charge of the cleaned image
hillas_skewness f8 - third moment along the major axis
hillas_kurtosis f8 - fourth moment along the major axis
hillas_fov_lon f8 deg centre along the azimuth, from where the telescope points to
hillas_fov_lat f8 deg centre along the altitude, from where the telescope points to
hillas_r f8 deg distance of the centre
hillas_phi f8 deg polar angle of the centre
hillas_length f8 deg standard deviation along the major axis
hillas_length_uncertainty f8 deg of the length
hillas_width f8 deg standard deviation along the minor axis
hillas_width_uncertainty f8 deg of the width
hillas_psi f8 deg angle of the major axis
hillas_psi_uncertainty f8 deg of that angle
hillas_transverse_cog_uncertainty f8 deg of the centre, across the major axis
timing_intercept f8 - peak time at the centre, ns
timing_deviation f8 - root mean square difference of peak times to the fitted line, ns
timing_slope f8 deg**-1 change of the peak time along the major axis, ns
leakage_pixels_width_1 f8 - part of the cleaned pixels that are in the outermost row
leakage_pixels_width_2 f8 - part of the cleaned pixels that are in the two outermost rows
leakage_intensity_width_1 f4 - part of the charge that is in the outermost row
leakage_intensity_width_2 f4 - part of the charge that is in the two outermost rows
concentration_cog f8 - part of the charge within a pixel's width of the centre
concentration_core f8 - part of the charge within the ellipse of length and width
concentration_pixel f8 - part of the charge in the brightest pixel
morphology_n_pixels i8 - cleaned pixels
morphology_n_islands i8 - groups of neighbouring pixels
morphology_n_small_islands i8 - groups of at most 2 pixels
morphology_n_medium_islands i8 - groups of 3 to 50 pixels
morphology_n_large_islands i8 - groups of more than 50 pixels
intensity_max f4 - largest charge of a cleaned pixel
intensity_min f4 - smallest charge of a cleaned pixel
intensity_mean f4 - mean charge of cleaned pixels
intensity_std f4 - standard deviation of charges
intensity_skewness f8 - skewness of charges
intensity_kurtosis f8 - excess kurtosis of charges
peak_time_max f4 - latest peak time of a cleaned pixel
peak_time_min f4 - earliest peak time of a cleaned pixel
peak_time_mean f4 - mean peak time of cleaned pixels
peak_time_std f4 - standard deviation of peak times
peak_time_skewness f8 - skewness of peak times
peak_time_kurtosis f8 - excess kurtosis of peak times
"""
)
# of the true image, whose charges are integers and which has no times
_OF_INTEGERS = {"intensity_max": "i4", "intensity_min": "i4", "intensity_mean": "f8", "intensity_std": "f8"}
_OF_INTEGERS |= {"leakage_intensity_width_1": "f8", "leakage_intensity_width_2": "f8"}
TRUE_PARAMETERS = PARAMETERS[:3] + tuple(
    Column(f"true_{column.name}", _OF_INTEGERS.get(column.name, column.kind), column.attributes)
    for column in PARAMETERS[3:]
    if not column.name.startswith(("timing_", "peak_time_"))
)
POINTING = _columns("""
obs_id i4 - observation block
tel_id i8 - telescope
telescope_pointing_azimuth f4 rad azimuth, from north to east
telescope_pointing_altitude f4 rad altitude
""")
DISTRIBUTION = _columns("""
obs_id i4 - observation block
hist_id i8 - histogram
n_entries i8 - showers thrown
bins_energy f8 TeV edges
bins_core_dist f8 m edges of the distance of cores to the middle of the array
histogram f4 - showers thrown by energy and core distance
""")
RUN = _columns("""
obs_id i4 - observation block
run_number i4 - simulation run
corsika_version i8 - CORSIKA's version times 1000; -1: another program
simtel_version i8 - sim_telarray's version; -1: another program
energy_range_min f4 TeV lowest energy
energy_range_max f4 TeV highest energy
prod_site_B_total f8 uT magnetic field
prod_site_B_declination f8 rad of the magnetic field
prod_site_B_inclination f8 rad of the magnetic field
prod_site_alt f8 m height of the site
spectral_index f8 - of the energies' power law
shower_prog_start i8 - when the showers' simulation started
shower_prog_id i8 - program that simulated the showers; -1: another program
detector_prog_start i8 - when the telescopes' simulation started
detector_prog_id i8 - program that simulated the telescopes; -1: another program
n_showers i8 - showers simulated
shower_reuse i8 - uses of each shower
max_alt f4 rad highest altitude
min_alt f4 rad lowest altitude
max_az f4 rad largest azimuth
min_az f4 rad smallest azimuth
diffuse i8 - whether directions fill a cone
max_viewcone_radius f4 deg outer radius of the cone
min_viewcone_radius f4 deg inner radius of the cone
max_scatter_range f4 m largest distance of the core
min_scatter_range f4 m smallest distance of the core
core_pos_mode i8 - 0: cores fill a disc, 1: a rectangle
atmosphere i8 - number of the atmosphere
corsika_iact_options i8 - options of CORSIKA
corsika_low_E_model i8 - model of interactions at low energies
corsika_high_E_model i8 - model of interactions at high energies
corsika_bunchsize f8 - photons of a bunch
corsika_wlen_min f8 nm shortest wavelength
corsika_wlen_max f8 nm longest wavelength
corsika_low_E_detail i8 - version of the model at low energies
corsika_high_E_detail i8 - version of the model at high energies
""")
SCHEDULING_BLOCK = _columns("""
sb_id u8 - scheduling block
sb_type i8 =enum:SchedulingBlockType kind of block
producer_id S10 - where it comes from
observing_mode i8 =enum:ObservingMode how observations share the sky
pointing_mode i8 =enum:PointingMode how drives move
""")
OBSERVATION_BLOCK = _columns("""
obs_id u8 - observation block
sb_id u8 - scheduling block
producer_id S10 - where it comes from
state i8 =enum:ObservationBlockState state of the block
subarray_pointing_lat f4 deg latitude of the centre
subarray_pointing_lon f4 deg longitude of the centre
subarray_pointing_frame i8 =enum:CoordinateFrameType frame of latitude and longitude
scheduled_duration f8 min planned duration
scheduled_start_time f8 =mjd planned start
actual_start_time f8 =mjd real start
actual_duration f8 min real duration
""")
_CLASSIFICATION = """
{p}_prediction f8 - score of gammas, from 0 to 1
{p}_is_valid ? - whether there is a score
{p}_goodness_of_fit f8 - none
"""
_ENERGY = """
{p}_energy f8 TeV reconstructed energy
{p}_energy_uncert f8 TeV its uncertainty: none
{p}_is_valid ? - whether there is an energy
{p}_goodness_of_fit f8 - none
"""
_GEOMETRY = """
{p}_alt f8 deg reconstructed altitude
{p}_alt_uncert f8 deg its uncertainty: none
{p}_az f8 deg reconstructed azimuth
{p}_az_uncert f8 deg its uncertainty: none
{p}_ang_distance_uncert f8 deg uncertainty of the direction: none
{p}_core_x f8 m reconstructed core, to the north
{p}_core_y f8 m reconstructed core, to the west
{p}_core_uncert_x f8 m its uncertainty: none
{p}_core_uncert_y f8 m its uncertainty: none
{p}_core_tilted_x f8 m core in the tilted frame: none
{p}_core_tilted_y f8 m core in the tilted frame: none
{p}_core_tilted_uncert_x f8 m its uncertainty: none
{p}_core_tilted_uncert_y f8 m its uncertainty: none
{p}_h_max f8 m height of the shower's maximum: none
{p}_h_max_uncert f8 m its uncertainty: none
{p}_is_valid ? - whether there is a direction
{p}_average_intensity f8 - none
{p}_goodness_of_fit f8 - none
"""
_USED = "{p}_telescopes ? =telescopes whose images were used, in the order of the layout\n"
ALGORITHM = "airshower"  # ctapipe's name for predictions of airshower
_KINDS = {"classification": _CLASSIFICATION, "energy": _ENERGY, "geometry": _GEOMETRY}
STEREO = {kind: _columns(_EVENT + (text + _USED).format(p=ALGORITHM), f"{ALGORITHM}_") for kind, text in _KINDS.items()}
"""Of predictions for events, by the name of their group."""
MONO = {
    kind: _columns(_TELESCOPE_EVENT + text.format(p=f"{ALGORITHM}_tel"), f"{ALGORITHM}_tel_")
    for kind, text in _KINDS.items()
}
"""Of predictions for images."""

# values that only CORSIKA and sim_telarray define
UNKNOWN_RUN = {column.name: -1 for column in RUN} | {"prod_site_B_total": np.nan, "prod_site_B_declination": np.nan}
UNKNOWN_RUN |= {"prod_site_B_inclination": np.nan, "corsika_bunchsize": 1.0}
UNKNOWN_RUN |= {"corsika_wlen_min": 300.0, "corsika_wlen_max": 600.0}
# of the reference pulse of a camera, ns: ctapipe needs one, though nothing in DL1 depends on it
PULSE_STEP, PULSE_WIDTH = 0.1, 1.2
# where an array is on Earth, m: CTAO North in the official simulations (prod6)
REFERENCE = {
    f"reference_itrs_{axis}": np.float64(value)
    for axis, value in zip("xyz", (5326750.8, -1719675.4, 3051857.1), strict=True)
}
PRODUCT = {
    "CTA REFERENCE VERSION": "1",
    "CTA PRODUCT DESCRIPTION": "Simulated air showers",
    "CTA PRODUCT DATA CATEGORY": "Sim",
    "CTA PRODUCT DATA LEVELS": "DL1_IMAGES,DL1_PARAMETERS",
    "CTA PRODUCT DATA ASSOCIATION": "Subarray",
    "CTA PRODUCT DATA MODEL NAME": "ASWG",
    "CTA PRODUCT DATA MODEL VERSION": DATA_MODEL,
    "CTA PRODUCT DATA MODEL URL": "",
    "CTA PRODUCT FORMAT": "hdf5",
    "CTA PROCESS TYPE": "Simulation",
    "CTA PROCESS SUBTYPE": "",
    "CTA ACTIVITY NAME": "airshower",
    "CTA ACTIVITY TYPE": "software",
    "CTA ACTIVITY SOFTWARE NAME": "airshower",
    "CTA CONTACT NAME": "unknown",
    "CTA CONTACT EMAIL": "unknown",
    "CTA CONTACT ORGANIZATION": "unknown",
    "CTA INSTRUMENT CLASS": "Other",
    "CTA INSTRUMENT ID": "airshower",
    "CTA INSTRUMENT SITE": "Other",
    "CTA INSTRUMENT TYPE": "unspecified",
    "CTA INSTRUMENT SUBTYPE": "unspecified",
    "CTA INSTRUMENT VERSION": "unspecified",
}
