"""A roof whose sun is computed from where it lies, where it looks and the time, under a cloudless sky."""

from typing import Annotated

from pydantic import Field

from node.scenario.fields import Power, Strict


class SolarRoof(Strict):
    """Modules of `dc_peak_w` on a plane: `tilt_deg` from flat, `azimuth_deg` from north over east (180: south).

    Sun position, irradiance on the plane, cell temperature and the inverter's part load are those of pvlib; the sky is
    cloudless, as hazy as `linke_turbidity` says.
    """

    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    altitude_m: Annotated[float, Field(ge=-400, le=5_000)] = 0.0
    tilt_deg: Annotated[float, Field(ge=0, le=90)]
    azimuth_deg: Annotated[float, Field(ge=0, le=360)]
    dc_peak_w: Power
    linke_turbidity: Annotated[float, Field(ge=1, le=10)] = 3.0
    air_c: Annotated[float, Field(ge=-50, le=50)] = 15.0
