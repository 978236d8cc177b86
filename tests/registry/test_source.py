"""Which model is meant, and that its files are those that were logged."""

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from recorded import NAMES, copy_of

from graft.core.errors import GraftError
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.registry import resolve as source
from graft.registry.register import register_best
from graft.registry.resolve import resolve_model
from graft.registry.runs.strategy_runs import read_run
from graft.registry.store import logged_models
from graft.registry.store.logged_models import HASH_TAG
from graft.registry.store.tracking_store import open_store

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(recorded: Project, repository: Path, tmp_path: Path, no_outside_settings: None) -> Project:
    """One registered version with no alias, whose files are this test's own."""
    copy = copy_of(recorded, tmp_path / "project")
    shutil.copy(repository / "params.yaml", copy.params_file)
    client = open_store(copy)
    register_best(copy, RegisterParams(), {name: copy.strategy(name) for name in NAMES})
    for alias in ("champion", "challenger"):
        client.delete_registered_model_alias("tints", alias)
    return copy


@pytest.fixture
def client(project: Project) -> MlflowClient:
    return open_store(project)


def test_the_champion_is_meant_then_the_challenger(
    project: Project, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GraftError, match=r"no champion and no challenger of 'tints'.*graft run"):
        resolve_model(project)
    client.set_registered_model_alias("tints", "challenger", "1")
    found = resolve_model(project)
    assert (found.name, found.version, found.alias) == ("tints", "1", "challenger")
    assert "tints has no champion yet: this is its challenger" in capsys.readouterr().out
    client.set_registered_model_alias("tints", "champion", "1")
    assert str(resolve_model(project)) == "tints version 1 (champion)"
    assert (found.bundle / "model.json").is_file()


def test_every_name_leads_to_the_same_model(project: Project, client: MlflowClient) -> None:
    client.set_registered_model_alias("tints", "champion", "1")
    uris = ["models:/tints@champion", "models:/tints/1", read_run(project.strategy("first"))["model_uri"]]
    found = [resolve_model(project, uri) for uri in uris]
    folder = project.strategy("first")
    found += [resolve_model(project, str(path)) for path in (folder, folder / "model")]
    assert len({one.digest for one in found}) == 1
    assert [one.version for one in found] == ["1", "1", "", "", ""]
    assert found[-1].name == found[-2].name == "first"


@pytest.mark.parametrize("uri", ["models:/tints@nobody", "models:/tints/9", "models:/other/1", "models:/m-0"])
def test_a_model_that_is_not_there_is_named(project: Project, uri: str) -> None:
    with pytest.raises(GraftError, match=f"no model {uri}"):
        resolve_model(project, uri)


def test_a_folder_without_a_model_is_named(project: Project) -> None:
    with pytest.raises(GraftError, match=r"no model in .*data: no model.json"):
        resolve_model(project, str(project.data))


@pytest.mark.parametrize(
    "name", ["data/model/saved_model/saved_model.pb", "code/graft_model/model.py", "MLmodel", "new.py"]
)
def test_changed_files_are_refused(
    project: Project, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    location = client.get_model_version_download_uri("tints", "1").removeprefix("file://")
    original = Path(location)
    changed = shutil.copytree(original, project.root / "changed")
    path = changed / name
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    monkeypatch.setattr(logged_models, "model_files", lambda location, into: changed)
    for uri in ("models:/tints/1", read_run(project.strategy("first"))["model_uri"]):
        with pytest.raises(GraftError, match=r"are not those that were logged.*model.sha256"):
            resolve_model(project, uri)


def test_loading_it_with_mlflow_changes_nothing(project: Project) -> None:
    before = resolve_model(project, "models:/tints/1")
    mlflow.pyfunc.load_model("models:/tints/1")
    (before.bundle.parents[1] / "code" / "graft_model" / "__pycache__").mkdir(exist_ok=True)
    assert resolve_model(project, "models:/tints/1") == before


def test_a_model_without_a_hash_is_refused(project: Project, client: MlflowClient) -> None:
    client.delete_model_version_tag("tints", "1", HASH_TAG)
    with pytest.raises(GraftError, match=r"no hash of tints version 1"):
        resolve_model(project, "models:/tints/1")


def test_files_that_are_gone_are_a_sentence(project: Project, client: MlflowClient) -> None:
    shutil.rmtree(client.get_model_version_download_uri("tints", "1").removeprefix("file://"))
    with pytest.raises(GraftError, match="files of tints version 1 cannot be read"):
        resolve_model(project, "models:/tints/1")


def test_a_download_is_made_once_and_again_when_damaged(
    project: Project, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path(client.get_model_version_download_uri("tints", "1").removeprefix("file://"))
    downloads = []

    def download(location: str, into: Path) -> Path:
        downloads.append(location)
        return Path(shutil.copytree(original, into))

    monkeypatch.setattr(logged_models, "model_files", download)
    first = resolve_model(project, "models:/tints/1")
    assert first.bundle.is_relative_to(project.fetched_models)
    assert resolve_model(project, "models:/tints/1") == first
    assert len(downloads) == 1
    (first.bundle / "model.json").write_text("{}")
    assert resolve_model(project, "models:/tints/1") == first
    assert len(downloads) == 2
    assert [path.name for path in (project.fetched_models).iterdir()] == [first.bundle.parents[1].name]


@pytest.mark.parametrize("shape", ["absolute", "relative", "upper case", "empty name", "a link in the cache"])
def test_a2_a_tag_of_the_registry_is_no_path_and_removes_nothing(
    project: Project, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: str
) -> None:
    """Whatever stands where a hash belongs: the folder that it leads to stays as it is."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("still needed")
    kept = project.fetched_models
    kept.mkdir(parents=True, exist_ok=True)
    digest = "a" * 64
    (kept / digest).symlink_to(precious)
    tag = {
        "absolute": str(precious),
        "relative": "../../../precious",
        "upper case": digest.upper(),
        "empty name": " ",
        "a link in the cache": digest,
    }[shape]
    original = Path(client.get_model_version_download_uri("tints", "1").removeprefix("file://"))
    monkeypatch.setattr(logged_models, "model_files", lambda _, into: Path(shutil.copytree(original, into)))
    client.set_model_version_tag("tints", "1", HASH_TAG, tag)
    message = "not those that were logged" if tag == digest else "tag model.sha256 of tints version 1 holds"
    with pytest.raises(GraftError, match=message):
        resolve_model(project, "models:/tints/1")
    assert (precious / "file").read_text() == "still needed"


def test_a2_a_model_cannot_name_a_bundle_outside_of_itself(
    project: Project, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = Path(client.get_model_version_download_uri("tints", "1").removeprefix("file://"))
    changed = shutil.copytree(original, tmp_path / "changed")
    text = (changed / "MLmodel").read_text()
    (changed / "MLmodel").write_text(text.replace("data: data/model", f"data: {original / 'data' / 'model'}"))
    client.set_model_version_tag("tints", "1", HASH_TAG, logged_models.model_hash(changed))
    monkeypatch.setattr(logged_models, "model_files", lambda *_: changed)
    with pytest.raises(GraftError, match=r"MLmodel file of tints version 1 names the path"):
        resolve_model(project, "models:/tints/1")


def test_the_hash_is_a_tag_of_run_model_and_version(project: Project, client: MlflowClient) -> None:
    run = read_run(project.strategy("first"))
    tags = [
        client.get_run(run["run_id"]).data.tags,
        client.get_logged_model(run["model_uri"].removeprefix("models:/")).tags,
        client.get_model_version("tints", "1").tags,
    ]
    assert {tag[HASH_TAG] for tag in tags} == {run["model_sha256"]}
    assert source.model_name(project) == "tints"
