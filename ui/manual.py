"""What help shows beside a command's own words: the panels that commands and options stand in, and examples."""

from collections.abc import Mapping

__all__ = ["COMMAND_PANELS", "EXAMPLES", "OPTION_PANELS", "READING"]

COMMAND_PANELS: Mapping[str, tuple[str, ...]] = {
    "From a sample to a model": ("demo", "recommend", "tune", "predict", "export"),
    "Look closer": ("picker", "open", "benefit", "distance"),
    "What is known": ("zoo", "data", "domains", "runs", "history", "queue"),
    "For others, and upkeep": ("serve", "keys", "mcp", "doctor"),
}
"""Commands by the panel of help that they stand in."""

READING = "How the data are read"
"""The panel that only commands have which read a sample."""
OPTION_PANELS: Mapping[str, tuple[str, ...]] = {
    READING: (
        "labels",
        "task",
        "groups",
        "test",
        "keep_duplicates",
        "class_folder",
        "follow_links",
        "modality",
        "text",
        "label",
        "text2",
        "group",
        "time",
        "unlabelled",
        "metric",
    ),
    "Constraints": (
        "max_parameters",
        "licenses",
        "license_",
        "exclude",
        "max_bytes",
        "max_latency",
        "max_memory",
        "tuning_budget",
        "fetch",
        "disk_budget",
    ),
    "How much work": (
        "keep",
        "effort",
        "time_budget",
        "continues",
        "epochs",
        "rate",
        "find_rate",
        "batch_size",
        "device",
    ),
    "What is shown": ("explain", "all_", "csv", "as_csv", "json", "sort", "limit", "suspects", "record"),
    "Where, and from which seed": ("home", "registry", "objects", "seed"),
}
"""Parameters of commands by the panel of help that they stand in; all else stands first."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "demo": ("demo", "demo text"),
    "recommend": (
        "recommend my-images",
        "recommend hub:stanfordnlp/imdb --limit 5000",
        "recommend hub:nyu-mll/glue --config cola",
        "recommend reviews.csv --text review --label stars -v",
        "recommend my-images --max-parameters 5000000 --time-budget 5min",
    ),
    "tune": ("tune my-images", "tune my-images --checkpoint resnet-photos --strategy lp-ft --epochs 8"),
    "benefit": ("benefit my-images --budgets 6 --repeats 3",),
    "predict": ("predict latest new-images --csv",),
    "export": ("export latest exported", "export latest exported --onnx"),
    "distance": ("distance my-images cifar10", "distance my-images other-images --metric classifier"),
    "doctor": ("doctor", "doctor --repair"),
    "picker": (
        "picker",
        "picker --root /data --no-browser",
        "picker --allow-remote --admit '*@example.org' --root /data",
    ),
    "open": ("open resnet-photos",),
    "serve": ("serve --port 8600",),
    "mcp": ("mcp --root /data --allow-tune",),
    "zoo list": ("zoo list --here --sort parameters --limit 10",),
    "zoo show": ("zoo show resnet-photos",),
    "zoo add": ("zoo add my-checkpoint --source-data what-it-saw --license mit", "zoo add timm/resnet18.a1_in1k"),
    "zoo search": ("zoo search resnet --task image-classification --license apache-2.0",),
    "zoo fetch": ("zoo fetch resnet-50",),
    "zoo remove": ("zoo remove mine --weights",),
    "zoo disk": ("zoo disk",),
    "zoo promote": ("zoo promote latest flowers-net",),
    "zoo lock": ("zoo lock zoo.lock",),
    "zoo sync": ("zoo sync", "zoo sync --locked zoo.lock"),
    "data fetch": ("data fetch stanfordnlp/imdb --rows 5000", "data fetch uoft-cs/cifar10 --split test"),
    "domains list": ("domains list --csv",),
    "domains near": ("domains near my-images --most 5",),
    "domains add": ("domains add x-rays --family medical",),
    "runs list": ("runs list --sort score-", "runs list --record"),
    "runs show": ("runs show latest",),
    "runs resume": ("runs resume 20261128",),
    "runs sync": ("runs sync",),
    "runs register": ("runs register latest flowers --alias champion",),
    "history import": ("history import results.csv", "history import results.csv --yes"),
    "history list": ("history list",),
    "history show": ("history show 3f2a",),
    "history forget": ("history forget 3f2a",),
    "queue add": ("queue add tune my-images --epochs 5",),
    "queue list": ("queue list --all",),
    "queue show": ("queue show 3f2a",),
    "queue cancel": ("queue cancel 3f2a",),
    "queue work": ("queue work --device cuda:0 --until-empty",),
    "keys create": ("keys create ci",),
    "keys list": ("keys list",),
    "keys revoke": ("keys revoke 3f2a",),
}
"""Command lines without the program's name, by the command that they are of."""
