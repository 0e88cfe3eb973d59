"""The scenes of a config, whatever their kind."""

from collections.abc import Mapping

from sources.imagery import arrays, folder, stac
from sources.imagery.config import ArrayScenes, FolderScenes, StacScenes
from sources.imagery.scene import Scenes


def find_scenes(options: FolderScenes | StacScenes | ArrayScenes, variables: Mapping[str, str]) -> Scenes:
    """The scenes of one entry of `scenes:`, see `scenes` of the module of its kind."""
    if isinstance(options, FolderScenes):
        return folder.scenes(options, variables)
    return stac.scenes(options, variables) if isinstance(options, StacScenes) else arrays.scenes(options, variables)
