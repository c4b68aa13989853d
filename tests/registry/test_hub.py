"""The hub, through the real client, on a double of it that listens on 127.0.0.1."""

import json
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from registry import doctor, upstream
from registry.cards import Claim, HubState
from registry.damages import quarantined
from registry.errors import (
    AdapterOnly,
    AlreadyThere,
    BadWeights,
    DiskFull,
    GgufOnly,
    HubDamaged,
    HubGated,
    HubMissing,
    HubOffline,
    HubRedirected,
    HubTooLarge,
    HubUnreachable,
    MalformedWeights,
    NameHeld,
    NotAHub,
    NotHere,
    NoWeights,
    PickleRefused,
    ProcessorMissing,
    QuantizedOnly,
    RemoteCodeRefused,
    ShapeMismatch,
    UnknownName,
    Unsupported,
    UnusableHubId,
    UnusableRequest,
)
from registry.files import sha256_of
from registry.hub import Hub, front_matter, parse_hub_id
from registry.modalities.text.settings import Pooling
from registry.progress import Cancelled, Phase
from registry.zoo import Zoo
from tests.fakes.hub import served, sha256, the_only_hub
from tests.fakes.repositories import CARD, a_config, a_net, in_shards, padded
from tests.observers import Recorder, stopping
from tests.registry.fakes import a_catalog
from tests.registry.modalities.text.nets import as_sentences, save

TOKEN = "hf_" + "thisisasecretthatnobodymaysee"
WEIGHTS = r"resolve/.*/model\.safetensors"


def header(content):
    """A file of weights that is nothing but a header."""
    return len(content).to_bytes(8, "little") + content


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with the_only_hub(monkeypatch, tmp_path / "hf") as running:
        yield running


@pytest.fixture
def zoo(tmp_path):
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as opened:
        yield opened


def test_a_checkpoint_is_known_to_the_last_parameter_before_its_weights_are_here(hub, zoo):
    hub.add("org/net", a_net())
    card = upstream.add(zoo, "org/net")
    assert (card.name, card.architecture, card.license) == ("net", "ResNetForImageClassification", "MIT")
    assert card.digest == sha256(a_net()["model.safetensors"])
    assert card.locator.commit == hub.repositories["org/net"].head
    assert card.lineage[0] == "org/older"
    assert card.claims == (Claim("ImageNet-1k", "image-classification", "accuracy", 0.75, "validation"),)
    assert zoo.history(checkpoint="net") == ()
    assert card.measured["dtype"] == "F32"
    assert not zoo.here(card)
    fetched = [headers["Range"] for _, path, headers in hub.requests if "model.safetensors" in path]
    assert fetched
    with pytest.raises(NotHere, match=r"net.*to fetch") as caught:
        zoo.encoder("net")
    assert "zoo fetch net" in caught.value.remedy


@pytest.mark.slow
def test_weights_are_fetched_with_progress_checked_and_usable(hub, zoo):
    hub.add("org/net", a_net())
    upstream.add(zoo, "org/net")
    seen = Recorder()
    card = upstream.fetch(zoo, "net", progress=seen)
    assert zoo.here(card)
    assert zoo.encoder("net").digest
    assert {event.phase for event in seen.events} <= {Phase.FETCH}
    assert upstream.add(zoo, "org/net", weights=True) == card
    assert upstream.fetch(zoo, "org/net") == card


@pytest.mark.slow
def test_a_net_in_shards_is_judged_and_fetched_whole(hub, zoo):
    hub.add("org/net", in_shards("model-1.safetensors", "model-2.safetensors"))
    card = upstream.add(zoo, "org/net")
    assert [file.name for file in card.locator.weights] == ["model-1.safetensors", "model-2.safetensors"]
    assert not zoo.here(card)
    assert zoo.here(upstream.fetch(zoo, "net"))


@pytest.mark.slow
def test_two_commits_are_two_checkpoints_and_a_revision_may_be_named(hub, zoo):
    repository = hub.add("org/net", a_net())
    first = repository.head
    repository.commit(a_net(README__md=b"---\nlicense: apache-2.0\n---\n"))
    assert upstream.add(zoo, f"org/net@{first}").license == "MIT"
    with pytest.raises(AlreadyThere):
        upstream.add(zoo, "org/net")
    assert upstream.add(zoo, "org/net", name="newer").license == "Apache-2.0"


@pytest.mark.parametrize(
    ("files", "error", "word"),
    [
        ({"model.safetensors": None, "pytorch_model.bin": b"x"}, PickleRefused, "pytorch_model.bin"),
        ({"model.safetensors": None, "model.gguf": b"x"}, GgufOnly, "model.gguf"),
        ({"model.safetensors": None, "adapter_config.json": b"{}"}, AdapterOnly, "adapter"),
        ({"model.safetensors": None}, NoWeights, "org/net"),
        ({"config.json": None}, NoWeights, "config.json"),
        ({"preprocessor_config.json": None}, ProcessorMissing, "processor"),
        ({"config.json": lambda: a_config(auto_map={"AutoModel": "x.py"})}, RemoteCodeRefused, "auto_map"),
        ({"config.json": lambda: a_config(quantization_config={"quant_method": "gptq"})}, QuantizedOnly, "gptq"),
        ({"config.json": lambda: a_config(hidden_sizes=[8, 12, 16, 48])}, ShapeMismatch, "org/net"),
        ({"config.json": lambda: a_config(num_channels=10**9)}, Unsupported, "1e\\+09"),
        ({"config.json": lambda: a_config(id2label=["cat", 3, None])}, None, ""),
        ({"config.json": lambda: a_config(id2label={"0": "cat", "7": "dog", "x": "hen"})}, Unsupported, "id2label"),
        ({"model.safetensors": b"\xff" * 64}, MalformedWeights, "length"),
        ({"model.safetensors": (1 << 40).to_bytes(8, "little") + b"{}"}, MalformedWeights, "length"),
        ({"model.safetensors": (8).to_bytes(8, "little") + b'{"a": 1}'}, MalformedWeights, "header"),
        (
            {"preprocessor_config.json": b'{"feature_extractor_type": "WhisperFeatureExtractor"}'},
            Unsupported,
            "Whisper",
        ),
        ({"preprocessor_config.json": None, "tokenizer.json": b"{}"}, Unsupported, "preprocessor"),
        *(
            ({name: b"{}"}, UnusableHubId, "leads out")
            for name in ("../out.json", "/etc/out.json", "in/../../out.json", "in\\out.json", "a\x1b.json")
        ),
        ({"model.safetensors": header(b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}")}, MalformedWeights, "header"),
        (
            {"model.safetensors": header(b'{"a": {"dtype": "F32", "shape": [9999999999], "data_offsets": [0, 4]}}')},
            MalformedWeights,
            "model.safetensors",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name_before_any_weights_are_fetched(hub, zoo, files, error, word):
    built = {name: content() if callable(content) else content for name, content in files.items()}
    hub.add("org/net", {name: content for name, content in {**a_net(), **built}.items() if content is not None})
    if error is None:
        assert upstream.add(zoo, "org/net").name == "net"
        return
    with pytest.raises(error, match=word) as caught:
        upstream.add(zoo, "org/net")
    assert caught.value.remedy
    assert "net" not in zoo
    assert all("Range" in headers for _, path, headers in hub.requests if path.endswith("model.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "error"),
    [
        ({"a": "../model-1.safetensors"}, MalformedWeights),
        ({"a": "/etc/passwd"}, MalformedWeights),
        ({"a": "model-9.safetensors"}, NoWeights),
        ({}, MalformedWeights),
        ({"a": "model-1.safetensors"}, ShapeMismatch),
    ],
)
def test_an_index_that_names_files_outside_or_not_there_is_refused(hub, zoo, index, error):
    hub.add("org/net", in_shards("model-1.safetensors", "model-2.safetensors", index=index))
    with pytest.raises(error):
        upstream.add(zoo, "org/net")


def test_an_index_that_names_a_tensor_twice_is_refused(hub, zoo):
    files = in_shards("model-1.safetensors", "model-2.safetensors")
    twice = b'{"metadata": {}, "weight_map": {"a": "model-1.safetensors", "a": "model-2.safetensors"}}'
    hub.add("org/net", {**files, "model.safetensors.index.json": twice})
    with pytest.raises(MalformedWeights, match="twice") as caught:
        upstream.add(zoo, "org/net")
    assert caught.value.remedy
    assert "net" not in zoo


def test_a_tensor_that_two_shards_hold_is_refused(hub, zoo):
    files = in_shards("model-1.safetensors", "model-2.safetensors")
    hub.add("org/net", {**files, "model-2.safetensors": files["model-1.safetensors"]})
    with pytest.raises(BadWeights, match="is stored in"):
        upstream.add(zoo, "org/net")


@pytest.mark.parametrize(
    "card",
    [
        b"---\nlicense: [unclosed\n---\n",
        b"\xff\xfe",
        b"",
        b"no front matter",
        b"---\n- a\n---",
        b"---\na: &a [x, x, x]\n" + b"b: &b [*a, *a]\nc: &c [*b, *b]\n" * 9 + b"license: mit\n---\n",
        b"---\nlicense: !!python/object/apply:os.system [true]\n---\n",
        b"---\nlicense: <b>mit</b>\n---\n",
        b"---\nlicense: " + b"[" * 3000 + b"\n---\n",
    ],
)
def test_a_bad_card_leaves_the_license_unknown_and_never_permissive(hub, zoo, card):
    hub.add("org/net", a_net(README__md=card))
    added = upstream.add(zoo, "org/net")
    assert added.license == "unknown"
    assert added.claims == ()
    assert zoo.licenses(added).objection(["MIT"]) is not None


ODD_CARD = b"""---
license: {name: <b>mit</b>}
datasets: 5
language: {en: 1}
base_model: [[org/older], "<script>alert(1)</script>"]
model-index:
- results: [{dataset: {name: "<img src=x onerror=alert(1)>"}, task: 7, metrics: [
    {type: accuracy, value: .inf}, {type: accuracy, value: .nan}, {type: loss, value: 1.0e+308},
    {type: accuracy, value: "99 %"}, {type: {deep: 1}, value: -1}]}]
- 3
---
"""


def test_absurd_numbers_are_no_claims_and_html_is_text(hub, zoo):
    hub.add("org/net", a_net(README__md=ODD_CARD))
    card = upstream.add(zoo, "org/net")
    assert card.license == "unknown"
    assert card.lineage == ("<script>alert(1)</script>",)
    assert [(claim.metric, claim.value) for claim in card.claims] == [("loss", 1e308), ("", -1.0)]
    assert {claim.data for claim in card.claims} == {"<img src=x onerror=alert(1)>"}


def test_a_file_larger_than_can_be_fetched_is_named_with_its_size(hub, zoo):
    repository = hub.add("org/net", a_net())
    repository.sizes["model.safetensors"] = 60 * 10**9
    with pytest.raises(HubTooLarge, match="60,000,000,000 bytes"):
        upstream.add(zoo, "org/net")
    assert not hub.paths_of(WEIGHTS)


def test_the_pooling_of_a_sentence_transformer_comes_along_from_its_own_folder(hub, zoo, tmp_path):
    folder = as_sentences(save(tmp_path / "texts", "bert"), {"pooling_mode_cls_token": True}, at="2_Pooling")
    hub.add("org/texts", folder)
    card = upstream.add(zoo, "org/texts", weights=True)
    assert "2_Pooling/config.json" in {file.name for file in card.locator.files}
    assert zoo.encoder("texts").network.pooling is Pooling.FIRST
    upstream.remove(zoo, "texts", weights=True)
    assert not card.folder.exists()


@pytest.mark.slow
def test_of_a_list_of_licenses_all_hold(hub, zoo):
    hub.add("org/net", a_net(README__md=b"---\nlicense: [mit, something odd]\n---\n"))
    assert upstream.add(zoo, "org/net").license == "unknown"


@pytest.mark.slow
def test_weights_of_another_kind_than_stated_are_noted(hub, zoo):
    hub.add("org/net", a_net(config__json=a_config(dtype="float16")))
    upstream.add(zoo, "org/net")
    assert any("F16" in note and "F32" in note for note in zoo.notes)


@pytest.mark.parametrize(
    "text", ["net", "../net", "org/../net", "org/net/more", "org/net@../x", "org/", "a b/c", "org/net@"]
)
def test_an_odd_id_is_stopped_at_the_border(hub, zoo, text):
    with pytest.raises(UnusableHubId):
        upstream.add(zoo, text)
    assert hub.requests == []


# ------------------------------------------------------------ faults


def test_a_bit_flipped_on_the_way_is_noticed_and_the_file_fetched_again(hub, zoo):
    hub.add("org/net", a_net())
    upstream.add(zoo, "org/net")
    hub.fail("flip", WEIGHTS, times=1)
    assert zoo.here(upstream.fetch(zoo, "net"))
    assert len(hub.paths_of(WEIGHTS)) >= 2


def test_a_file_that_comes_damaged_twice_is_set_aside_and_the_entry_stays_as_it_was(hub, zoo):
    hub.add("org/net", a_net())
    before = upstream.add(zoo, "org/net")
    hub.fail("flip", WEIGHTS)
    with pytest.raises(HubDamaged, match=r"model\.safetensors"):
        upstream.fetch(zoo, "net")
    assert zoo.checkpoint("net") == before
    assert not zoo.here(before)
    assert len(quarantined(zoo.home)) == 1


def test_a_file_that_is_cut_goes_on_where_it_was_cut(hub, zoo):
    hub.add("org/net", padded(12))
    upstream.add(zoo, "org/net")
    hub.fail("cut", WEIGHTS, times=1, after=11 << 20)
    assert zoo.here(upstream.fetch(zoo, "net"))
    assert f"bytes={11 << 20}-" in ranges_of(hub)


KILLED = """
import json, sys
from pathlib import Path
from registry.cards import HubFile
from registry.hub import Hub
hub, commit, *file = json.loads(sys.argv[1])
Hub().fetch(hub, commit, [HubFile(*file)], aside=Path(sys.argv[2]))
"""


def test_after_a_kill_another_process_goes_on_by_a_range_and_the_whole_is_checked(hub, zoo, tmp_path):
    hub.add("org/net", padded(6))
    card = upstream.add(zoo, "org/net")
    (file,) = card.locator.weights
    hub.fail("slow", WEIGHTS, times=1, after=5 << 20)
    what = json.dumps([card.locator.hub, card.locator.commit, file.name, file.bytes, file.digest])
    killed = subprocess.Popen([sys.executable, "-c", KILLED, what, str(tmp_path / "aside")])
    part = Hub().snapshot("org/net", card.locator.commit).parents[1] / "blobs" / f"{card.digest}.incomplete"
    wait_for(lambda: part.is_file() and part.stat().st_size == 5 << 20)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    hub.requests.clear()
    seen = Recorder()
    assert zoo.here(upstream.fetch(zoo, "net", progress=seen))
    assert [one for one in ranges_of(hub) if one] == [f"bytes={5 << 20}-"]
    assert all(event.done >= 5 << 20 for event in seen.events if event.of > 1 << 20)
    assert not part.exists()


@pytest.mark.slow
@pytest.mark.parametrize("left", [b"x" * (5 << 20), b"x" * (9 << 20)])
def test_a_part_that_is_damaged_or_too_long_costs_one_more_download_and_no_more(hub, zoo, left):
    hub.add("org/net", padded(6))
    card = upstream.add(zoo, "org/net")
    blobs = Hub().snapshot("org/net", card.locator.commit).parents[1] / "blobs"
    (blobs / f"{card.digest}.incomplete").write_bytes(left)
    assert zoo.here(upstream.fetch(zoo, "net"))
    assert sha256_of(zoo.checkpoint("net").folder / "model.safetensors") == card.digest


@pytest.mark.slow
def test_of_a_file_whose_etag_has_changed_nothing_is_gone_on_with(hub, zoo):
    repository = hub.add("org/net", padded(6))
    card = upstream.add(zoo, "org/net")
    blobs = Hub().snapshot("org/net", card.locator.commit).parents[1] / "blobs"
    content = bytearray(repository.files["model.safetensors"])
    (blobs / f"{card.digest}.incomplete").write_bytes(content[: 5 << 20])
    hub.requests.clear()
    content[-1] ^= 1
    repository.commits[repository.head] = {**repository.files, "model.safetensors": bytes(content)}
    with pytest.raises(HubDamaged, match=r"model\.safetensors"):
        upstream.fetch(zoo, "net")
    assert not any(ranges_of(hub))
    assert not zoo.here(card)
    assert upstream.remove(zoo, "net", weights=True) >= 5 << 20
    assert not list(blobs.glob("*.incomplete"))


def test_one_that_another_process_fetches_is_waited_for_and_then_named(hub, zoo):
    hub.add("org/net", padded(2))
    card = upstream.add(zoo, "org/net")
    lock = Hub().cache / ".locks" / "models--org--net" / f"{card.digest}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), pytest.raises(NameHeld, match="fetching the file"):
        upstream.fetch(zoo, "net", hub=Hub(stall=3.0))
    assert zoo.here(upstream.fetch(zoo, "net"))


def ranges_of(hub):
    """What parts of the weights were asked for."""
    gets = [(path, headers) for method, path, headers in hub.requests if method == "GET"]
    return [headers.get("Range") for path, headers in gets if path.endswith("model.safetensors")]


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_a_file_that_is_always_cut_ends_by_name_and_leaves_the_entry_as_it_was(hub, zoo):
    hub.add("org/net", a_net())
    before = upstream.add(zoo, "org/net")
    hub.fail("cut", WEIGHTS)
    with pytest.raises(HubUnreachable, match="broke off"):
        upstream.fetch(zoo, "net", hub=Hub(stall=3.0))
    assert zoo.checkpoint("net") == before
    assert not list(Hub().cache.rglob("*.incomplete"))


@pytest.mark.parametrize("kind", ["500", "429"])
def test_a_busy_hub_is_asked_again(hub, zoo, kind):
    hub.add("org/net", a_net())
    hub.fail(kind, "/api/models/org/net/revision", times=1)
    assert upstream.add(zoo, "org/net").name == "net"


@pytest.mark.slow
def test_a_hub_that_stays_busy_is_named_with_what_it_answers(hub, zoo):
    hub.fail("500")
    with pytest.raises(HubUnreachable, match="fails: it answers 500"):
        upstream.add(zoo, "org/net", hub=Hub(patience=1.0))


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_a_hub_that_never_answers_is_given_up_at_our_own_deadline(hub, zoo, kind):
    hub.add("org/net", a_net())
    hub.fail(kind, "api" if kind == "hang" else WEIGHTS)
    began = time.monotonic()
    with pytest.raises(HubUnreachable, match="within"):
        upstream.add(zoo, "org/net", hub=Hub(patience=1.0))
    assert time.monotonic() - began < 20


def test_an_endpoint_that_is_not_there_is_named(hub, zoo, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubUnreachable, match=r"127\.0\.0\.1:1"):
        upstream.add(zoo, "org/net", hub=Hub(patience=1.0))


@pytest.mark.slow
def test_weights_that_stop_coming_are_given_up_and_what_was_cached_works(hub, zoo):
    hub.add("org/net", a_net())
    card = upstream.add(zoo, "org/net")
    hub.fail("hang", WEIGHTS)
    with pytest.raises(HubUnreachable):
        upstream.fetch(zoo, "net", hub=Hub(stall=1.0))
    assert zoo.checkpoint("net") == card


def test_a_fetch_that_nobody_wants_any_more_ends(hub, zoo):
    hub.add("org/net", a_net())
    upstream.add(zoo, "org/net")
    hub.fail("hang", WEIGHTS)

    with pytest.raises(Cancelled):
        upstream.fetch(zoo, "net", progress=stopping(Phase.FETCH, 0))


def test_a_gated_repository_says_where_to_agree(hub, zoo):
    hub.add("org/net", a_net(), gated=True)
    with pytest.raises(HubGated) as caught:
        upstream.add(zoo, "org/net")
    assert f"{hub.address}/org/net" in caught.value.remedy


@pytest.mark.slow
def test_a_token_opens_a_gated_repository_and_stands_in_no_card_note_or_error(hub, zoo, monkeypatch, capfd, caplog):
    hub.token = TOKEN
    hub.add("org/net", a_net(), gated=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    card = upstream.add(zoo, "org/net", weights=True)
    assert card.locator.state is HubState.GATED
    hub.fail("500")
    with pytest.raises(HubUnreachable) as caught:
        upstream.add(zoo, "org/other", hub=Hub(patience=1.0))
    written = [path.read_bytes() for path in zoo.home.root.rglob("*") if path.is_file()]
    report = (
        repr(card),
        repr(caught.value.__dict__),
        caught.value.remedy,
        *zoo.notes,
        *capfd.readouterr(),
        caplog.text,
    )
    assert not any(TOKEN in text for text in report)
    assert not any(TOKEN.encode() in content for content in written)


@pytest.mark.parametrize("kind", ["401", "404"])
def test_a_repository_that_is_not_there_or_not_for_everybody_is_named(hub, zoo, kind):
    hub.fail(kind)
    with pytest.raises(HubMissing, match="org/net"):
        upstream.add(zoo, "org/net")


def test_a_revision_that_is_not_there_is_named(hub, zoo):
    hub.add("org/net", a_net())
    with pytest.raises(HubMissing, match="org/net@v9"):
        upstream.add(zoo, "org/net@v9")


def test_a_captive_portal_is_one_line(hub, zoo):
    hub.fail("html")
    with pytest.raises(NotAHub, match="web page") as caught:
        upstream.add(zoo, "org/net")
    assert "\n" not in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.slow
def test_a_portal_between_config_and_weights_damages_nothing(hub, zoo):
    hub.add("org/net", a_net())
    card = upstream.add(zoo, "org/net")
    hub.fail("html", WEIGHTS)
    with pytest.raises(NotAHub):
        upstream.fetch(zoo, "net")
    assert not zoo.here(card)


def test_another_host_is_asked_for_nothing_unless_it_is_allowed(hub, zoo, monkeypatch):
    with served() as other:
        for one in (hub, other):
            one.add("org/net", a_net())
        upstream.add(zoo, "org/net")
        hub.elsewhere = other.address
        hub.fail("elsewhere", WEIGHTS)
        with pytest.raises(HubRedirected, match="another host"):
            upstream.fetch(zoo, "net")
        assert other.requests == []
        monkeypatch.setenv("TRANSFERZOO_HUB_HOSTS", other.address.removeprefix("http://"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert zoo.here(upstream.fetch(zoo, "net"))
        assert other.paths_of(WEIGHTS)
        assert not any("Authorization" in headers for _, _, headers in other.requests)


def test_a_full_disk_while_fetching_is_told_and_rolled_back(hub, zoo, monkeypatch, small_disk):
    hub.add("org/net", a_net())
    disk = small_disk(160)
    monkeypatch.setenv("HF_HOME", str(disk))
    card = upstream.add(zoo, "org/net")
    hub.fail("late", WEIGHTS)

    def fill(event):
        junk = disk / "junk"
        if event.phase is Phase.FETCH and not junk.exists():
            junk.write_bytes(b"x" * (100 << 10))
        return False

    with pytest.raises(DiskFull):
        upstream.fetch(zoo, "net", progress=Recorder(fill))
    assert not zoo.here(card)
    assert not list(Hub().cache.rglob("*.incomplete"))
    assert zoo.checkpoint("net") == card


def test_weights_that_have_no_room_are_not_begun(hub, zoo, monkeypatch, small_disk):
    hub.add("org/net", a_net())
    monkeypatch.setenv("HF_HOME", str(small_disk(64)))
    upstream.add(zoo, "org/net")
    requested = len(hub.paths_of(WEIGHTS))
    with pytest.raises(DiskFull, match="missing"):
        upstream.fetch(zoo, "net")
    assert len(hub.paths_of(WEIGHTS)) == requested


def test_weights_that_were_never_fetched_are_no_damage(hub, zoo):
    hub.add("org/net", a_net())
    card = upstream.add(zoo, "org/net")
    assert not zoo.here(card)
    assert [one for one in doctor.check(zoo.home.root, catalog=zoo.catalog).findings if one.subject == card.name] == []


# ------------------------------------------------------------ offline


def test_offline_what_is_here_works_and_the_rest_is_named(hub, zoo, monkeypatch):
    for name in ("net", "later"):
        hub.add(f"org/{name}", a_net())
    upstream.add(zoo, "org/net", weights=True)
    upstream.add(zoo, "org/later")
    requested = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert zoo.encoder("net").digest
    assert upstream.add(zoo, "org/net", weights=True).name == "net"
    for work in (lambda: upstream.fetch(zoo, "later"), lambda: upstream.add(zoo, "org/new"), lambda: Hub().search("x")):
        with pytest.raises(HubOffline):
            work()
    assert all(row.unknown for row in upstream.sync(zoo))
    assert len(hub.requests) == requested


def test_offline_the_state_last_known_and_what_is_there_instead_are_kept(hub, zoo, monkeypatch):
    hub.add("org/net", a_net())
    upstream.add(zoo, "org/net")
    hub.rename("org/net", "new/net")
    upstream.sync(zoo)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (row,) = upstream.sync(zoo)
    assert (row.state, row.upstream) == (HubState.RENAMED, "new/net")
    assert "HF_HUB_OFFLINE" in row.unknown


# ------------------------------------------------------------ search, sync, remove, disk


def test_a_search_says_what_matters_and_what_cannot_be_used(hub):
    hub.add("org/net", a_net(), downloads=10)
    hub.add("org/net-pickled", {"pytorch_model.bin": b"x", "config.json": b"{}"}, downloads=900)
    for number in range(5):
        hub.add(f"org/net-{number}", a_net(), downloads=number)
    hub.add("org/other", a_net())
    rows = Hub().search("net", limit=10)
    assert [row.hub for row in rows][:2] == ["org/net-pickled", "org/net"]
    assert len(rows) == 7
    assert "pickled" in rows[0].objection
    assert (rows[1].objection, rows[1].license, rows[1].safetensors) == ("", "mit", True)
    assert rows[1].parameters == pytest.approx(23_000, rel=0.1)
    assert Hub().search("net", max_parameters=10) == ()
    assert Hub().search("net", license="apache-2.0") == ()
    assert Hub().search("net", task="text-classification") == ()


@pytest.mark.slow
def test_what_moved_upstream_is_told_and_the_pinned_commit_stays(hub, zoo):
    repository = hub.add("org/net", a_net())
    card = upstream.add(zoo, "org/net", weights=True)
    assert [row.state for row in upstream.sync(zoo)] == [HubState.OK]
    new = repository.commit(a_net(README__md=b"---\nlicense: apache-2.0\n---\n"))
    (row,) = upstream.sync(zoo)
    assert (row.state, row.upstream, row.changed) == (HubState.MOVED, new, ("README.md",))
    repository.commit(a_net(vocab__txt=b"new"))
    assert [row.changed for row in upstream.sync(zoo)] == [("vocab.txt",)]
    after = zoo.checkpoint("net")
    assert (after.locator.commit, after.license, after.locator.state) == (card.locator.commit, "MIT", HubState.MOVED)
    assert zoo.encoder("net").digest


def test_renamed_deleted_and_gated_repositories_become_states(hub, zoo):
    for name in ("a", "b", "c"):
        hub.add(f"org/{name}", a_net())
        upstream.add(zoo, f"org/{name}")
    hub.rename("org/a", "new/a")
    del hub.repositories["org/b"]
    hub.repositories["org/c"].gated = True
    states = {row.checkpoint: row.state for row in upstream.sync(zoo)}
    assert states == {"a": HubState.RENAMED, "b": HubState.DELETED, "c": HubState.GATED}
    assert zoo.checkpoint("a").locator.upstream == "new/a"
    assert upstream.add(zoo, "org/a", name="again").locator.hub == "new/a"


@pytest.mark.slow
def test_what_is_removed_frees_its_files_but_for_those_that_others_use(hub, zoo):
    hub.add("org/net", a_net())
    hub.add("org/other", a_net())
    upstream.add(zoo, "org/net", weights=True)
    upstream.add(zoo, "org/other", weights=True)
    (first, second) = upstream.disk(zoo)
    assert first.removable == second.removable == 0
    assert upstream.remove(zoo, "net", weights=True) >= len(a_net()["model.safetensors"])
    assert "net" not in zoo
    assert zoo.encoder("other").digest
    assert upstream.remove(zoo, "other") == 0
    (left,) = (row for row in upstream.disk(zoo) if row.hub == "org/other")
    assert left.removable == left.bytes > 0
    assert upstream.remove(zoo, "org/other", weights=True) == left.bytes
    assert all(row.bytes == 0 for row in upstream.disk(zoo))
    with pytest.raises(UnusableRequest):
        upstream.remove(zoo, "mean-color")
    with pytest.raises(UnknownName):
        upstream.remove(zoo, "nothing")


def test_ids_and_front_matter_are_read():
    assert parse_hub_id("org/net") == ("org/net", "main")
    assert parse_hub_id("org/net@v1.0") == ("org/net", "v1.0")
    assert front_matter(CARD)["license"] == "mit"
    assert front_matter("---\na: &x 1\nb: *x\n---\n") == {}


@pytest.mark.slow
def test_a_folder_is_uploaded_and_comes_back_the_same(hub, zoo, tmp_path, monkeypatch):
    hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in a_net().items():
        (folder / name).write_bytes(content)
    assert Hub().push(folder, "me/mine") == f"{hub.address}/me/mine"
    assert hub.repositories["me/mine"].private
    assert dict(hub.repositories["me/mine"].files) == a_net()
    assert upstream.add(zoo, "me/mine", weights=True).digest == sha256(a_net()["model.safetensors"])
