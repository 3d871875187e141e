from __future__ import annotations

from pathlib import Path

import pytest

from genenvs.generators import text_to_image
from genenvs.generators.denoiser import Denoiser, load
from genenvs.generators.text_to_image import TextToImage
from tests.generators.models import write_model
from tests.generators.tiny_pipelines import FAMILIES, KINDS, write_pipeline


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One class-conditional model on disk per prediction type."""
    root = tmp_path_factory.mktemp("models")
    kinds = ("epsilon", "v_prediction", "sample")
    return {kind: write_model(root / kind, prediction=kind, classes=3) for kind in kinds}


@pytest.fixture(scope="session")
def tiny(folders: dict[str, Path]) -> Denoiser:
    """A class-conditional v-prediction model, 1 x 8 x 8, three classes, 100 timesteps."""
    return load(str(folders["v_prediction"]))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user's."""
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One random text-to-image pipeline folder per kind of `KINDS`."""
    root = tmp_path_factory.mktemp("pipelines")
    return {
        kind: write_pipeline(root / kind, family, **options)
        for kind, (family, options) in KINDS.items()
    }


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, pipelines: dict[str, Path]) -> TextToImage:
    """A text-to-image model of each family."""
    return text_to_image.load(str(pipelines[request.param]))
