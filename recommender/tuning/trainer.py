"""transformers' Trainer as it is used here: whole saves, loaded strictly, and settings held to one device.

The Trainer's own reloading is not used: for models whose keys are renamed when loaded it skips most tensors in silence
(transformers issue 43701). Weights are saved under the names they have here.
"""

import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PrinterCallback, Trainer, TrainingArguments

from recommender.runs.devices import precision
from recommender.tuning.keeper import write_weights
from registry.files import filling

__all__ = ["LARGEST_GRADIENT", "StrictTrainer", "settings_of"]

_WARM_UP = 0.1
LARGEST_GRADIENT = 1.0
_WEIGHTS = "model.safetensors"
_STATES = 3
"""What a save holds at most, in sizes of the weights: these, and two moments of each."""
_DEVICE = "ACCELERATE_TORCH_DEVICE"
"""Where accelerate, which would take the first GPU, is told which one to take."""


class StrictTrainer(Trainer):
    """Its rows come as batches; its saves hold the weights under the names they have here."""

    def __init__(
        self,
        model: torch.nn.Module,
        args: TrainingArguments,
        train_dataset: Any,  # noqa: ANN401 - a Dataset, or what does as one
        optimizers: tuple[torch.optim.Optimizer, None],
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            data_collator=_as_they_are,  # type: ignore[arg-type]  # as above
            optimizers=optimizers,
        )
        self.remove_callback(PrinterCallback)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        del state_dict
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(_present(self.model), folder / _WEIGHTS)

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        """As the Trainer does it, of which nothing stays where it fails."""
        place = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        with filling(place, weights * _STATES):
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        stored = load_file(Path(resume_from_checkpoint) / _WEIGHTS)
        _present(model or self.model).load_state_dict(stored, strict=True)


def settings_of(
    folder: Path,
    device: str,
    seed: int,
    *,
    epochs: int,
    steps: int,
    batch_size: int,
    batches_a_step: int = 1,
    drop_last: bool = False,
) -> TrainingArguments:
    """The Trainer's settings, held to one device: it would take the first GPU and spread the net over all of them.

    ``steps`` are those of an epoch; of all of them a tenth warms up.
    """
    on_cpu = device == "cpu"
    if not on_cpu:
        os.environ[_DEVICE] = device
    arguments = TrainingArguments(
        output_dir=str(folder),
        report_to="none",
        disable_tqdm=True,
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        use_cpu=on_cpu,
        bf16=precision(device) is torch.bfloat16,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=batches_a_step,
        num_train_epochs=epochs,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(_WARM_UP * steps * epochs),
        max_grad_norm=LARGEST_GRADIENT,
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=False,
        dataloader_drop_last=drop_last,
    )
    if not on_cpu:
        vars(arguments).update(_setup_devices=torch.device(device), _n_gpu=1)
    return arguments


def _present(model: torch.nn.Module | None) -> torch.nn.Module:
    if model is None:
        raise ValueError("a loop without a model")
    return model


def _as_they_are(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch
