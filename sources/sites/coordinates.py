"""What is wrong with a site's coordinates, told row by row."""

import polars as pl

MISSING = "missing_coordinates"
ZERO = "zero_coordinates"
SWAPPED = "swapped_coordinates"
OUT_OF_RANGE = "coordinates_out_of_range"
OUTSIDE = "outside_bounds"


def coordinate_problems(
    latitude: pl.Series, longitude: pl.Series, bounds: tuple[float, float, float, float] | None = None
) -> pl.Series:
    """The problem of each pair of coordinates in degrees, null where there is none.

    bounds  (west, south, east, north) within which all lie; None: the whole Earth

    missing_coordinates       one is not there or not a number
    zero_coordinates          both are 0, which is what a geocoder that failed writes
    swapped_coordinates       no place as they stand (within the bounds), but one when the two are swapped
    coordinates_out_of_range  beyond 90 degrees of latitude or 180 of longitude
    outside_bounds            a place, but outside the bounds

    A swapped pair near the diagonal looks like another place and is found by `bounds` alone.
    """
    lat, lon = pl.col("lat"), pl.col("lon")
    west, south, east, north = bounds or (-180.0, -90.0, 180.0, 90.0)

    def place(latitude: pl.Expr, longitude: pl.Expr) -> pl.Expr:
        return latitude.is_between(south, north) & longitude.is_between(west, east)

    world = lat.is_between(-90, 90) & lon.is_between(-180, 180)
    reason = (
        pl.when(lat.is_null() | lon.is_null() | lat.is_nan() | lon.is_nan())
        .then(pl.lit(MISSING))
        .when((lat == 0) & (lon == 0))
        .then(pl.lit(ZERO))
        .when(place(lat, lon))
        .then(pl.lit(None, dtype=pl.String))
        .when(place(lon, lat))
        .then(pl.lit(SWAPPED))
        .when(~world)
        .then(pl.lit(OUT_OF_RANGE))
        .otherwise(pl.lit(OUTSIDE))
    )
    frame = pl.DataFrame({"lat": latitude.cast(pl.Float64), "lon": longitude.cast(pl.Float64)})
    return frame.select(reason.alias("problem")).to_series()
