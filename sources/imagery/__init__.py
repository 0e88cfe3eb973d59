"""Imagery upstream of ingest: scenes and zones in, pixels of each zone on a common grid out.

    found = find.find_scenes(options, variables)   # of folders, STAC or arrays: when each was captured, and when known
    places = zones.read_zones(path)                # polygons of lots or districts
    grid = grid.grid_of(zone, resolution=0.5)      # the zone's own, the same for every scene
    with raster.open_asset(scene.assets["red"]) as image:
        pixels = image.read(grid)                  # a window, never the whole scene

What cannot be used is told in `set_aside`, with a reason, and does not stop the rest.
"""
